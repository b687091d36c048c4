"""Views of a shot, and what runs each: the editor, its checkpoints, previews and inversions."""
