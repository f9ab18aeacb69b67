"""From single systems to one trace: post-processing, Dirichlet weights, forest, grouped estimates."""
