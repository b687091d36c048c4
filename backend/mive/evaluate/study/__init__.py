"""The comparison page: the paper's user study (Supp. D.3) as a static site, and the count of its answers."""
