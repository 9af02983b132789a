//! The OpenAPI document: complete, and sound in itself.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_document_and_the_table_name_the_same_routes() {
    let document = serde_json::to_value(http::document()).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            described.insert((path.clone(), method.to_uppercase()));
        }
    }
    // Pages are for people.
    let mut table = http::routes();
    table.retain(|row| row.shows == http::Shows::Data);
    let rows: BTreeSet<_> = table
        .iter()
        .map(|row| (row.path.to_owned(), row.method.to_owned()))
        .collect();
    assert_eq!(described, rows);
    assert_eq!(rows.len(), table.len(), "a route stands in the table twice");
    for row in &table {
        assert_ne!(
            row.access,
            http::Access::Roles(&[]),
            "{} is for nobody",
            row.path
        );
        let operation = &document["paths"][row.path][row.method.to_lowercase()];
        assert_eq!(
            operation["x-roles"],
            serde_json::to_value(row.access).expect("JSON")
        );
    }
}

#[tokio::test]
async fn the_document_is_sound() {
    let service = Service::start().await;
    let document = service.json("/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1.")
    );
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an operation id");
            assert!(ids.insert(id.to_owned()), "{id} names two operations");
            assert!(
                operation["summary"].is_string(),
                "{method} {path} says what it is for"
            );
            check_parameters(path, operation);
            check_responses(path, operation);
        }
    }
    check_references(&document, &document);
}

/// Every parameter of the path is declared, required, and no other is.
fn check_parameters(path: &str, operation: &Value) {
    let none = Vec::new();
    let declared = operation["parameters"].as_array().unwrap_or(&none);
    let in_path = declared
        .iter()
        .filter(|parameter| parameter["in"] == "path");
    let in_path: BTreeSet<&str> = in_path
        .map(|p| p["name"].as_str().expect("a name"))
        .collect();
    let parts = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    assert_eq!(in_path, parts.collect(), "{path}");
    for parameter in declared {
        assert!(parameter["schema"].is_object(), "{path}: {parameter}");
        assert!(
            parameter["description"].is_string() || parameter["in"] == "query",
            "{parameter}"
        );
        assert_eq!(
            parameter["required"] == true,
            parameter["in"] == "path",
            "{path}: {parameter}"
        );
    }
}

/// One success at least; each failure is a problem.
fn check_responses(path: &str, operation: &Value) {
    let responses = operation["responses"].as_object().expect("responses");
    assert!(
        responses
            .keys()
            .any(|status| status.starts_with('2') || status == "101"),
        "{path}"
    );
    for failure in ["400", "500", "503"] {
        assert!(
            responses.contains_key(failure),
            "{path} does not tell of {failure}"
        );
    }
    for (status, response) in responses {
        assert!(response["description"].is_string(), "{path} {status}");
        if status.starts_with(['4', '5']) {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
        }
    }
}

/// Every reference leads to something, and every schema is led to by one.
fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "$ref" {
                    let target = member.as_str().and_then(|to| to.strip_prefix('#'));
                    let target = target.and_then(|to| document.pointer(to));
                    assert!(target.is_some(), "{member} leads nowhere");
                }
                check_references(document, member);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| check_references(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn answers_have_the_members_that_their_schemas_promise() {
    let service = Service::start().await;
    let document = service.json("/openapi.json").await;
    let id = service.raise(&fall(MORNING_MS)).await;
    for (path, template) in [
        ("/healthz".to_owned(), "/healthz"),
        ("/api/v1/alarms".to_owned(), "/api/v1/alarms"),
        (format!("/api/v1/alarms/{id}"), "/api/v1/alarms/{id}"),
        ("/api/v1/cameras".to_owned(), "/api/v1/cameras"),
        ("/api/v1/cameras/north".to_owned(), "/api/v1/cameras/{id}"),
        ("/api/v1/deliveries".to_owned(), "/api/v1/deliveries"),
        ("/api/v1/session".to_owned(), "/api/v1/session"),
    ] {
        let answer = service.json(&path).await;
        let response = &document["paths"][template]["get"]["responses"]["200"];
        let schema = &response["content"]["application/json"]["schema"];
        check_against(&document, schema, &answer, &path);
    }
}

/// Checks types, required members, and that no member is unknown to the schema.
fn check_against(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(to) = schema["$ref"].as_str() {
        let target = document
            .pointer(to.trim_start_matches('#'))
            .expect("it leads somewhere");
        return check_against(document, target, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let of_null = |choice: &&Value| (choice["type"] == "null") == value.is_null();
        let choice = choices
            .iter()
            .find(of_null)
            .unwrap_or_else(|| panic!("{at}: {value}"));
        return check_against(document, choice, value, at);
    }
    if schema["allOf"].is_array() || value.is_object() {
        let mut known = BTreeSet::new();
        check_members(document, schema, value, at, &mut known);
        for name in value.as_object().expect("an object").keys() {
            let free = schema["additionalProperties"].is_object();
            assert!(free || known.contains(name), "{at}: {name} is in no schema");
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                check_against(document, &schema["items"], item, at);
            }
            "array"
        }
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    assert!(
        types.iter().any(|one| one == kind),
        "{at}: {value} is not {types:?}"
    );
}

fn check_members(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    known: &mut BTreeSet<String>,
) {
    if let Some(to) = schema["$ref"].as_str() {
        let target = document
            .pointer(to.trim_start_matches('#'))
            .expect("it leads somewhere");
        return check_members(document, target, value, at, known);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check_members(document, part, value, at, known);
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().expect("a name");
        assert!(value.get(name).is_some(), "{at}: {name} is missing");
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        known.insert(name.clone());
        if let Some(value) = value.get(name) {
            check_against(document, member, value, &format!("{at}.{name}"));
        }
    }
}
