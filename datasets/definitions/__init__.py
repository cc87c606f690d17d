"""What a data set is: its files' places, its label coding, its classes."""
