"""A suite from VIPSeg, made as the paper's data set was (§4.1, Supp. C.1)."""
