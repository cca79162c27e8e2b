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


rule compare_groups:
    input:
        code=library("compare_groups"),
        full=lambda wildcards: get_predictions("full", SEEDS[:1]),
        pruned=lambda wildcards: get_predictions("pruned", SEEDS[:1]),
        datasets=[f"<results>/datasets/{task}.csv" for task in TASKS],
        classes=expand("<results>/convexity/{model}/pretrained/{task}.classes.csv", model=MODELS, task=TASKS),
    output:
        table="<results>/groups.csv",
    log:
        "<results>/logs/compare_groups.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/compare_groups.py"
