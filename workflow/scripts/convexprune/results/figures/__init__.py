"""The figures: one module each, named after its content.

Each module has a function `draw`. It takes the tables (of results/README.md) and settings of its entry in
FIGURES (rules/figures.smk) by their names there, and `models`, all models of the config. It returns the
figure and the table that it shows.

Colours, sizes, legends and files, which all figures share, are in `style`.
"""
