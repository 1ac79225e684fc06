use foldline_core::{AggregateId, ViewInfo};
use serde_json::{Map, Value};

/// Stands for the row's id. No path of a view has it: [`foldline_service::check_path`].
const ID: &str = "{id}";

/// Where one can go on from a row of a view, as JSON: the texts between which the row's id stands. They are made once,
/// because each answer with a row has them.
pub(crate) struct RowLinks(Vec<String>);

impl RowLinks {
    /// `commands` is where those of the aggregate are that a row is about, if there is one.
    pub(crate) fn new(view: &ViewInfo, commands: Option<&str>) -> Self {
        let row = format!("{}/{ID}", view.path);
        let mut links = Map::new();
        links.insert("self".to_owned(), row.clone().into());
        if let Some(commands) = commands {
            links.insert("events".to_owned(), format!("{row}/events").into());
            links.insert("commands".to_owned(), format!("{commands}/{ID}/commands").into());
        }
        for (list, _) in view.lists {
            links.insert((*list).to_owned(), format!("{row}/{list}").into());
        }
        let links = Value::from(links).to_string();
        Self(links.split(ID).map(str::to_owned).collect())
    }

    /// Ids need no escapes, neither in a link nor in JSON.
    pub(crate) fn of(&self, id: &AggregateId) -> String {
        self.0.join(id.as_str())
    }
}
