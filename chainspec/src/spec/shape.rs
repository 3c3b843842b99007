//! Holds a TOML value against the schema: names every unknown field and every value of a wrong
//! form, and takes them out, so that what is left can be read.

use serde_json::Value as Schema;
use toml::Value;

use super::file::{FORMATS, Format};
use super::issue::Report;

/// Checks `table` against `schema` and removes from it whatever does not fit. Every removal is
/// an error in the report.
pub(super) fn check(table: &mut toml::Table, schema: &Schema, path: &str, report: &mut Report) {
    let mut walk = Walk { root: schema, report };
    walk.table(table, schema, path);
}

struct Walk<'a> {
    root: &'a Schema,
    report: &'a mut Report,
}

impl<'a> Walk<'a> {
    /// Whether the value fits and stays.
    fn value(&mut self, value: &mut Value, schema: &'a Schema, path: &str) -> bool {
        let schema = self.resolve(schema);
        if let Some(format) = format_of(schema) {
            return self.format(value, format, schema, path);
        }
        if let Some(names) = schema["enum"].as_array() {
            return self.choice(value, names, path);
        }
        let expected = schema["type"].as_str().unwrap_or("any");
        match (expected, &mut *value) {
            ("object", Value::Table(table)) => {
                self.table(table, schema, path);
                true
            }
            ("array", Value::Array(items)) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let fits = self.value(item, &schema["items"], &format!("{path}[{index}]"));
                    index += 1;
                    fits
                });
                true
            }
            ("integer", Value::Integer(number)) => {
                let number = *number;
                self.integer(number, schema, path)
            }
            ("string", Value::String(_)) | ("boolean", Value::Boolean(_)) | ("any", _) => true,
            (expected, value) => self.wrong_type(value, expected, path),
        }
    }

    fn table(&mut self, table: &mut toml::Table, schema: &'a Schema, path: &str) {
        let schema = self.resolve(schema);
        let named = schema["properties"].as_object();
        let others = schema.get("additionalProperties");
        table.retain(|key, value| {
            let place = inside(path, key);
            if let Some(schema) = named.and_then(|named| named.get(key)) {
                return self.value(value, schema, &place);
            }
            match others {
                // Next to named fields, only sections of backends may have free names.
                Some(Schema::Object(_)) if named.is_none() => {
                    self.value(value, &schema["additionalProperties"], &place)
                }
                Some(Schema::Object(_)) if value.is_table() => true,
                _ => {
                    let known: Vec<&str> =
                        named.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    self.unknown(key, &known, &place);
                    false
                }
            }
        });
    }

    fn resolve(&self, schema: &'a Schema) -> &'a Schema {
        match schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }

    fn format(&mut self, value: &Value, format: &Format, schema: &Schema, path: &str) -> bool {
        // Date-times are no JSON type: the format itself knows whether it takes one.
        let takes = |name: &str| match &schema["type"] {
            Schema::Array(names) => names.iter().any(|known| known == name),
            known => known == name,
        };
        let fits = match value {
            Value::String(_) | Value::Datetime(_) => true,
            Value::Integer(_) => takes("integer"),
            _ => false,
        };
        let reason = match (format.check)(value) {
            Ok(()) if fits => return true,
            Ok(()) => format!("a {} does not belong here", value.type_str()),
            Err(reason) => reason,
        };
        let code = if fits { "CS0004" } else { "CS0003" };
        self.report.error(code, path, reason, format.fix);
        false
    }

    fn choice(&mut self, value: &Value, names: &[Schema], path: &str) -> bool {
        let Some(text) = value.as_str() else { return self.wrong_type(value, "string", path) };
        let names: Vec<&str> = names.iter().filter_map(Schema::as_str).collect();
        if names.contains(&text) {
            return true;
        }
        let fix = format!("write one of {}", names.join(", "));
        let reason = format!("{text:?} is none of the choices{}", did_you_mean(text, &names));
        self.report.error("CS0004", path, reason, fix);
        false
    }

    fn integer(&mut self, number: i64, schema: &Schema, path: &str) -> bool {
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
        if (least..=most).contains(&number) {
            return true;
        }
        let reason = format!("{number} is out of range");
        let fix = if most == i64::MAX {
            format!("write a whole number of at least {least}")
        } else {
            format!("write a whole number from {least} to {most}")
        };
        self.report.error("CS0004", path, reason, fix);
        false
    }

    fn wrong_type(&mut self, value: &Value, expected: &str, path: &str) -> bool {
        let (article, expected) = match expected {
            "object" => ("a", "table"),
            "array" => ("an", "array"),
            "integer" => ("an", "integer"),
            other => ("a", other),
        };
        let reason = format!("expected {article} {expected}, found {}", value.type_str());
        self.report.error("CS0003", path, reason, format!("write {article} {expected} here"));
        false
    }

    fn unknown(&mut self, key: &str, known: &[&str], path: &str) {
        let reason = format!("unknown field {key:?}{}", did_you_mean(key, known));
        let fix = format!("remove or rename it; fields here: {}", known.join(", "));
        self.report.error("CS0002", path, reason, fix);
    }
}

/// The path of a field in what lies at a path; a file's whole table is at "" or "file:".
pub(super) fn inside(path: &str, field: &str) -> String {
    let dot = if path.is_empty() || path.ends_with(':') { "" } else { "." };
    format!("{path}{dot}{field}")
}

fn format_of(schema: &Schema) -> Option<&'static Format> {
    let name = schema["format"].as_str()?;
    FORMATS.iter().find(|format| format.name == name)
}

/// `: did you mean "x"?` if one of the names is near, else nothing.
pub(super) fn did_you_mean(text: &str, names: &[&str]) -> String {
    // Comparing takes time and memory for each character of both; no name is half as long.
    if text.len() > 64 {
        return String::new();
    }
    let near = |name: &&str| strsim::normalized_damerau_levenshtein(&text.to_lowercase(), name);
    names
        .iter()
        .copied()
        .filter(|name| near(name) > 0.59)
        .max_by(|a, b| near(a).total_cmp(&near(b)))
        .map_or(String::new(), |name| format!(": did you mean {name:?}?"))
}
