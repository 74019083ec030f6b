"""What users write and read: the models of our kinds, and the CRDs made from them."""
