"""Arrow and Parquet: types, input of any kind, the parallel writer, statistics, the reader."""
