"""The eight scores of the paper: how well an edit follows its captions, and what leaked where."""
