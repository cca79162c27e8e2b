"""The number of threads is what scikit-learn's n_jobs means."""

import joblib
import pytest
from convexprune.convexity import kernels


@pytest.mark.parametrize("n_jobs", [None, 1, 3, -1, -2, -4, -100])
def test_n_jobs_means_what_it_means_in_scikit_learn(monkeypatch, n_jobs):
    monkeypatch.setattr(kernels, "available_threads", lambda: 4)
    monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda: 4)
    expected = joblib.effective_n_jobs(n_jobs)
    assert kernels.count_threads(n_jobs) == expected


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="n_jobs is 0, but must be a number of threads, or -1"):
        kernels.count_threads(0)
