# The whole project: `convexprune` and `snakemake`, for a user without rights. .github/workflows/image.yml builds it.
# Without CUDA, 5 GB less: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
FROM python:3.11-slim-bookworm
ARG TORCH_INDEX
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/convexprune
# First what an installation depends on: an edit of anything else installs nothing again.
COPY Makefile requirements.lock pyproject.toml README.md LICENSE ./
COPY workflow/scripts/convexprune/__init__.py workflow/scripts/convexprune/
RUN make install PYTHON=python3
COPY . .
ENV PATH=/opt/convexprune/.venv/bin:$PATH
# Whoever runs it may write here alone, so caches are here too.
RUN useradd --uid 1000 convexprune && install --directory --owner convexprune /data
ENV HOME=/tmp
USER convexprune
WORKDIR /data
CMD ["convexprune", "--help"]
