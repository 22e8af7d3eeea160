"""How text files of tables are written: their encoding, marks, separators and line ends, found from what is in them."""
