"""The benchmark: suites of clips, methods by name, a resumable run, and its report (paper, sections 4 and 5)."""
