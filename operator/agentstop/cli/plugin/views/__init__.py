"""What is shown: tables, the tree, the time line, words."""
