"""Attention ops of the method, each with a readable torch reference."""
