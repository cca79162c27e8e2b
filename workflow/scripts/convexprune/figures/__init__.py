"""The figures, a module each: `tabulate` makes the table that is drawn, unless there is one, `draw` draws it.

What they have in common (colours, sizes, legends, writing of files) is in `style`.

- figure1: convexity by layer; figure2: accuracy against it; figure3: what each choice of layers costs;
  figure4: accuracy against the convexity of the last layer;
- figure5: convexity of each class by layer; figure6: accuracy against latency, size and multiply-adds;
  figure7: training curves; figure8: the embeddings in two dimensions.
"""
