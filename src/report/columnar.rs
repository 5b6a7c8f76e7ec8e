//! A table on its way into a Parquet file, row by row: what waits is at most one row group, so that a
//! million samples need not fit in memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// What a row group may hold.
const MOST_ROWS: usize = 20_000;
const MOST_BYTES: usize = 32 << 20;

/// What a column holds. Any value may be absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// UTF-8.
    Text,
    /// 64-bit integers.
    Whole,
    /// 64-bit floating point.
    Number,
}

/// One value of a row; an absent one is null.
pub(super) enum Cell<'a> {
    /// Of a [`Kind::Text`] column.
    Text(Option<&'a str>),
    /// Of a [`Kind::Whole`] column.
    Whole(u64),
    /// Of a [`Kind::Number`] column. What is not a number is null: no table holds NaN.
    Number(Option<f64>),
}

/// The values of one column that wait for their row group.
enum Waiting {
    Text(Vec<Option<ByteArray>>),
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
}

/// A Parquet file that is being written.
pub(super) struct Table {
    columns: Vec<Waiting>,
    rows: usize,
    bytes: usize,
    writer: SerializedFileWriter<File>,
}

impl Table {
    /// Begins a file with these columns.
    pub(super) fn create<N: AsRef<str>>(path: &Path, columns: &[(N, Kind)]) -> Result<Self, ParquetError> {
        let field = |(name, kind): &(N, Kind)| {
            let (physical, logical, converted) = match kind {
                Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), ConvertedType::UTF8),
                Kind::Whole => (Physical::INT64, None, ConvertedType::NONE),
                Kind::Number => (Physical::DOUBLE, None, ConvertedType::NONE),
            };
            let field = Type::primitive_type_builder(name.as_ref(), physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .with_converted_type(converted);
            field.build().map(Arc::new)
        };
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("table").with_fields(fields).build()?;
        // the file is part of an artifact: who wrote it is fragua of this version, on any machine
        let properties = WriterProperties::builder().set_created_by(format!("fragua {}", env!("CARGO_PKG_VERSION")));
        let waiting = |(_, kind): &(N, Kind)| match kind {
            Kind::Text => Waiting::Text(Vec::new()),
            Kind::Whole => Waiting::Whole(Vec::new()),
            Kind::Number => Waiting::Number(Vec::new()),
        };
        Ok(Self {
            columns: columns.iter().map(waiting).collect(),
            rows: 0,
            bytes: 0,
            writer: SerializedFileWriter::new(File::create(path)?, Arc::new(schema), Arc::new(properties.build()))?,
        })
    }

    /// Adds a row: a cell a column, in their order.
    pub(super) fn push<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), ParquetError> {
        let mut cells = cells.into_iter();
        for column in &mut self.columns {
            match (column, cells.next()) {
                (Waiting::Text(values), Some(Cell::Text(text))) => {
                    self.bytes += text.map_or(0, str::len);
                    values.push(text.map(ByteArray::from));
                }
                (Waiting::Whole(values), Some(Cell::Whole(whole))) => {
                    let whole = i64::try_from(whole);
                    values.push(Some(whole.map_err(|error| ParquetError::General(error.to_string()))?));
                }
                (Waiting::Number(values), Some(Cell::Number(number))) => {
                    values.push(number.filter(|number| number.is_finite()));
                }
                _ => return Err(ParquetError::General("a cell is not of its column's type".to_owned())),
            }
        }
        self.rows += 1;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General("a column too many".to_owned()));
            };
            match column {
                Waiting::Text(values) => {
                    let (values, levels) = present(values);
                    writer
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&levels), None)?;
                }
                Waiting::Whole(values) => {
                    let (values, levels) = present(values);
                    writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
                }
                Waiting::Number(values) => {
                    let (values, levels) = present(values);
                    writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
                }
            }
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn close(mut self) -> Result<(), ParquetError> {
        self.flush()?;
        self.writer.close().map(|_| ())
    }
}

/// The values that are there, and for each row whether one is.
fn present<T>(values: &mut Vec<Option<T>>) -> (Vec<T>, Vec<i16>) {
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (values.drain(..).flatten().collect(), levels)
}
