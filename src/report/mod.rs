//! Tables, charts, the HTML page and its CSV files.
