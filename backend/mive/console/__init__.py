"""What the programs share: how one runs, says what it did, shows how far it is, and ends."""
