"""`make demo`: a camera bag through the live node, recorded, drawn and summed up."""
