"""What a data set is: where its files are, how its labels are coded, which classes it has."""
