"""What commands show: data on stdout, everything else on stderr; with rich if it is there, else plainly."""
