"""What an edit is conditioned on besides words: depth, optical flow and trajectories."""
