"""Forced aligners: they find the phones of spoken words."""
