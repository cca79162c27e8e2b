# Full against pruned models, on the test items.


rule compare_predictions:
    input:
        code=library("compare_predictions"),
        full=lambda wildcards: get_predictions("full"),
        pruned=lambda wildcards: get_predictions("pruned"),
        datasets=[f"<results>/datasets/{task}.csv" for task in TASKS],
    output:
        table="<results>/significance.csv",
    log:
        "<results>/logs/compare_predictions.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/compare_predictions.py"
