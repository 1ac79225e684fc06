//! Pages of a list, by key and never by offset: the hundredth page costs what the first one does.

use foldline_core::{Field, FieldKind};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::columns::{column, table};
use super::{database, generations, reader};
use crate::{FieldValue, Filter, ID, ListQuery, Page, Place, Row, Sort, StoreError, Test};

/// Where the rows are read from.
pub(super) struct Source<'a> {
    pub(super) connection: &'a Connection,
    pub(super) place: &'a str,
    pub(super) view: &'a str,
    pub(super) generation: i64,
}

/// The rows of a page, as they are found.
#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    /// The place of the last row, once the page is full.
    end: Option<Place>,
    /// Whether there is another row behind it.
    has_more: bool,
}

/// Conditions, all of which hold, with the values of their parameters.
#[derive(Clone, Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

pub(super) fn page(source: &Source<'_>, query: &ListQuery) -> Result<Page, StoreError> {
    let order = order_of(query);
    let mut found = Found::default();
    for stretch in stretches(&order, query.after.as_ref())? {
        let mut conditions = Conditions::default();
        query.filters.iter().for_each(|filter| conditions.filter(filter));
        conditions.and(stretch);
        read(source, query, &order, conditions, &mut found)?;
        if found.has_more {
            break;
        }
    }
    Ok(Page {
        rows: found.rows,
        next: found.end.filter(|_| found.has_more),
        generation: source.generation,
    })
}

/// The order with the id at its end; what comes after the id orders nothing.
fn order_of(query: &ListQuery) -> Vec<Sort> {
    let mut order = query.sort.clone();
    if let Some(at) = order.iter().position(|sort| sort.field.name == ID.name) {
        order.truncate(at + 1);
        return order;
    }
    let descending = order.last().is_some_and(|sort| sort.descending);
    order.push(Sort {
        field: ID,
        descending,
    });
    order
}

/// What comes after a place, as stretches that follow one another and that an index can each be read from.
///
/// After (a, b): the rest of those with this a, and then those with a later a. Written as one condition with
/// `OR` it is the same, but SQLite would go through the whole index for it.
fn stretches(order: &[Sort], after: Option<&Place>) -> Result<Vec<Conditions>, StoreError> {
    let Some(Place(values)) = after else {
        return Ok(vec![Conditions::default()]);
    };
    if values.len() != order.len() {
        return Err(StoreError::OtherPlace);
    }
    let mut stretches = Vec::new();
    for level in (0..order.len()).rev() {
        let mut same = Conditions::default();
        for (sort, value) in order.iter().zip(values).take(level) {
            same.equal(&column(sort.field), value);
        }
        let Sort { field, descending } = order[level];
        let column = column(field);
        match (&values[level], descending) {
            (FieldValue::Missing, false) => stretches.push(same.with(&format!("{column} IS NOT NULL"))),
            (FieldValue::Missing, true) => {}
            (value, false) => stretches.push(same.with_value(&format!("{column} >"), value)),
            (value, true) => {
                stretches.push(same.clone().with_value(&format!("{column} <"), value));
                if field != ID {
                    stretches.push(same.with(&format!("{column} IS NULL")));
                }
            }
        }
    }
    Ok(stretches)
}

/// The last of its parameters is the limit.
fn select(view: &str, generation: i64, order: &[Sort], conditions: &str) -> String {
    let columns: Vec<String> = order.iter().map(|sort| column(sort.field)).collect();
    let directions: Vec<String> = order
        .iter()
        .zip(&columns)
        .map(|(sort, column)| format!("{column} {}", if sort.descending { "DESC" } else { "ASC" }))
        .collect();
    format!(
        "SELECT id, doc, sequence, version, {generation}, {} FROM {} WHERE listed = 1{} ORDER BY {} LIMIT ?",
        columns.join(", "),
        table(view, generation),
        conditions,
        directions.join(", "),
    )
}

fn read(
    source: &Source<'_>,
    query: &ListQuery,
    order: &[Sort],
    mut conditions: Conditions,
    found: &mut Found,
) -> Result<(), StoreError> {
    let sql = select(source.view, source.generation, order, &conditions.sql);
    // One more tells whether there is another page.
    let limit = query.limit.saturating_add(1) - found.rows.len();
    conditions
        .values
        .push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let prepared = source.connection.prepare_cached(&sql);
    let mut statement = prepared.map_err(|error| source.explain(query, error))?;
    let mut rows = statement
        .query(params_from_iter(conditions.values))
        .map_err(database)?;
    while let Some(row) = rows.next().map_err(database)? {
        if found.rows.len() == query.limit {
            found.has_more = true;
            break;
        }
        found.rows.push(reader::row(row, source.place)?);
        if found.rows.len() == query.limit {
            found.end = Some(place(row, order)?);
        }
    }
    Ok(())
}

/// Of the row in the order, for the page that begins behind it.
fn place(row: &rusqlite::Row<'_>, order: &[Sort]) -> Result<Place, StoreError> {
    let mut values = Vec::with_capacity(order.len());
    for (index, sort) in order.iter().enumerate() {
        let value = row.get_ref(5 + index).map_err(database)?;
        values.push(field_value(value, sort.field.kind));
    }
    Ok(Place(values))
}

impl Source<'_> {
    /// A statement that cannot be made: most likely, the view is served in another form than the one who asks knows.
    fn explain(&self, query: &ListQuery, error: rusqlite::Error) -> StoreError {
        let asked = query.filters.iter().map(|filter| filter.field);
        let asked = asked.chain(query.sort.iter().map(|sort| sort.field));
        let has = |field: &Field| {
            let sql = format!(
                "SELECT {} FROM {}",
                column(*field),
                table(self.view, self.generation)
            );
            self.connection.prepare(&sql).is_ok()
        };
        match asked.into_iter().find(|field| has(&ID) && !has(field)) {
            Some(field) => StoreError::OtherForm {
                view: self.view.to_owned(),
                field: field.name.to_owned(),
            },
            None => self.unless_it_is_gone(error),
        }
    }

    fn unless_it_is_gone(&self, error: rusqlite::Error) -> StoreError {
        match generations::epoch(self.connection, self.view, self.generation) {
            Ok(None) => StoreError::NoGeneration {
                view: self.view.to_owned(),
                generation: self.generation,
            },
            _ => database(error),
        }
    }
}

impl Conditions {
    fn with(mut self, condition: &str) -> Self {
        self.sql += " AND ";
        self.sql += condition;
        self
    }

    fn with_value(self, condition: &str, value: &FieldValue) -> Self {
        let mut with = self.with(&format!("{condition} ?"));
        with.values.push(sql_value(value));
        with
    }

    fn equal(&mut self, column: &str, value: &FieldValue) {
        let this = std::mem::take(self);
        *self = match value {
            FieldValue::Missing => this.with(&format!("{column} IS NULL")),
            value => this.with_value(&format!("{column} ="), value),
        };
    }

    fn and(&mut self, other: Self) {
        self.sql += &other.sql;
        self.values.extend(other.values);
    }

    fn filter(&mut self, filter: &Filter) {
        let column = column(filter.field);
        let this = std::mem::take(self);
        *self = match &filter.test {
            Test::In(values) => {
                let marks = vec!["?"; values.len()].join(", ");
                let mut this = this.with(&format!("{column} IN ({marks})"));
                this.values.extend(values.iter().map(sql_value));
                this
            }
            Test::Less(value) => this.with_value(&format!("{column} <"), value),
            Test::AtMost(value) => this.with_value(&format!("{column} <="), value),
            Test::Greater(value) => this.with_value(&format!("{column} >"), value),
            Test::AtLeast(value) => this.with_value(&format!("{column} >="), value),
        };
    }
}

fn sql_value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Missing => Value::Null,
        FieldValue::Boolean(value) => Value::Integer((*value).into()),
        FieldValue::Number(value) => Value::Integer(*value),
        FieldValue::Text(value) => Value::Text(value.clone()),
    }
}

fn field_value(value: ValueRef<'_>, kind: FieldKind) -> FieldValue {
    match (value, kind) {
        (ValueRef::Integer(value), FieldKind::Boolean) => FieldValue::Boolean(value != 0),
        (ValueRef::Integer(value), _) => FieldValue::Number(value),
        (ValueRef::Text(text), _) => FieldValue::Text(String::from_utf8_lossy(text).into_owned()),
        // Columns are integers or text by their declaration.
        (ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_), _) => FieldValue::Missing,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params_from_iter};

    use super::{Conditions, order_of, select, stretches};
    use crate::conformance::toy::{PRICE, VIEW, coats};
    use crate::sqlite::rows;
    use crate::{FieldValue, ListQuery, Place, Sort};

    #[test]
    fn every_stretch_is_read_from_an_index_in_order() {
        let connection = Connection::open_in_memory().unwrap();
        let domains = coats();
        let table = rows::table_of(domains.views()[0].info(), 3);
        connection.execute_batch(&table).unwrap();
        let after = Place(vec![FieldValue::Number(7), FieldValue::Text("a".to_owned())]);
        for descending in [false, true] {
            let field = PRICE;
            let sort = vec![Sort { field, descending }];
            let order = order_of(&ListQuery {
                sort,
                ..ListQuery::default()
            });
            let mut all = stretches(&order, Some(&after)).unwrap();
            all.push(Conditions::default());
            for stretch in all {
                let sql = format!("EXPLAIN QUERY PLAN {}", select(VIEW, 3, &order, &stretch.sql));
                let mut statement = connection.prepare(&sql).unwrap();
                let values = stretch.values.into_iter().chain([9.into()]);
                let plan: Vec<String> = statement
                    .query_map(params_from_iter(values), |row| row.get("detail"))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                assert_eq!(plan.len(), 1, "{sql}: {plan:?}");
                assert!(
                    plan[0].contains("USING INDEX coats_3_price.amount"),
                    "{sql}: {plan:?}"
                );
            }
        }
    }
}
