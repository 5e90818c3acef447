"""Tables of rows that name terms, over the models of a data set's file."""
