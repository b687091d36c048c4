"""What everything else stands on: no torch, no media, nothing of MIVE below it but errors."""
