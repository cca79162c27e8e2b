"""Tables, pages and figures of the results."""
