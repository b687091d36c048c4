"""Measuring edits: scores, suites, reports, data sets, the user study, the toy world and training on it, the demo."""
