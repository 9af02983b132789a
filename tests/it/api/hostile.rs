//! What nobody should send, to every route of the document: it is refused with a problem, never with
//! a failure of the service, and changes nothing.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::*;

/// Texts that lead somewhere where they are not taken for texts.
const TRICKS: [&str; 14] = [
    "..%2F..%2F..%2Fetc%2Fpasswd",
    "%2Fetc%2Fpasswd",
    "..%5C..%5Cwindows",
    "%2E%2E",
    "x%00.jpg",
    "%FF%FE",
    "'%20OR%20'1'%3D'1",
    "1%3B%20DROP%20TABLE%20alarm%3B--",
    "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "-1",
    "99999999999999999999999999",
    "NaN",
    "%F0%9F%9A%B2",
    "%7Bid%7D",
];

/// A service with something of everything in it, and a token of each role.
struct Target {
    service: Service,
    tokens: Vec<(Role, String)>,
    alarm: AlarmId,
}

impl Target {
    async fn new() -> Self {
        let service = Service::start().await;
        let alarm = service.raise(&fall(MORNING_MS)).await;
        let mut tokens = Vec::new();
        for role in Role::ALL {
            let token = add_token(&service.store, &format!("as-{role}"), role).await;
            tokens.push((role, token));
        }
        let name = plumb::id::AccountId::parse("li").expect("an id");
        let (roles, who) = (Roles::only(Role::Operator), Actor::service());
        let added = service.store.add_account(&name, &roles, "no hash", &who);
        added.await.expect("it is committed");
        Self {
            service,
            tokens,
            alarm,
        }
    }

    /// Returns a path of the document with ids that exist, as far as there are any.
    fn real(&self, path: &str) -> String {
        let id = match path {
            path if path.starts_with("/api/v1/cameras") => "north".to_owned(),
            _ => self.alarm.to_string(),
        };
        let name = match path {
            path if path.starts_with("/api/v1/accounts") => "li",
            path if path.starts_with("/api/v1/tokens") => "as-operator",
            _ => "clip.mp4",
        };
        path.replace("{id}", &id).replace("{name}", name)
    }

    fn request(&self, operation: &Operation, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.service.url);
        let request = self.service.stranger.request(operation.method.clone(), url);
        let role = self
            .tokens
            .iter()
            .find(|(role, _)| operation.roles.is_empty() || operation.roles.contains(role));
        request.bearer_auth(&role.expect("every route is for somebody").1)
    }

    /// Returns all rows of all tables but the audit log, which notes what was refused.
    async fn rows(&self) -> Vec<String> {
        let file = self.service.folder.path().join("plumb.sqlite");
        let url = format!("sqlite://{}?mode=ro", file.display());
        let mut shell = SqliteConnection::connect(&url).await.expect("readable");
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                      AND name NOT IN ('audit', '_sqlx_migrations') ORDER BY name";
        let tables = sqlx::query(tables).fetch_all(&mut shell).await;
        let mut rows = Vec::new();
        for table in tables.expect("readable") {
            let table: String = table.get("name");
            let columns = sqlx::query(AssertSqlSafe(format!("PRAGMA table_info({table})")));
            let columns = columns.fetch_all(&mut shell).await.expect("readable");
            let quoted = columns.iter().map(|column| {
                let name: String = column.get("name");
                format!("quote(\"{name}\")")
            });
            let quoted = quoted.collect::<Vec<_>>().join(" || ',' || ");
            let sql = format!("SELECT '{table}: ' || {quoted} AS text FROM {table}");
            let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut shell).await;
            rows.extend(found.expect("readable").iter().map(|row| row.get("text")));
        }
        rows.sort();
        rows
    }
}

/// One operation of the document.
struct Operation {
    name: String,
    method: Method,
    path: String,
    roles: Vec<Role>,
    query: Vec<String>,
    /// The schema of a JSON body, where it takes one.
    body: Option<Value>,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(http::document()).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let roles = operation["x-roles"].as_array().expect("roles").iter();
            let roles = roles.filter_map(|role| serde_json::from_value(role.clone()).ok());
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let query = parameters.filter(|parameter| parameter["in"] == "query");
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = match body["$ref"].as_str() {
                Some(to) => document.pointer(to.trim_start_matches('#')).cloned(),
                None => Some(body.clone()).filter(|body| !body.is_null()),
            };
            operations.push(Operation {
                name: format!("{} {path}", method.to_uppercase()),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                roles: roles.collect(),
                query: query
                    .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
                    .collect(),
                body,
            });
        }
    }
    assert!(operations.len() > 20, "the document was not read");
    operations
}

/// Asserts that the request is refused with a problem.
async fn refused(what: &str, request: RequestBuilder) {
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.text().await.expect("a body");
    assert!(status.is_client_error(), "{what}: {status} {body}");
    let media_type = headers.get("content-type").expect("a media type");
    assert_eq!(media_type, "application/problem+json", "{what}: {body}");
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    let slug = problem["type"].as_str().expect("a type");
    assert!(slug.starts_with("urn:plumb:problem:"), "{what}: {body}");
    assert_eq!(problem["status"], status.as_u16(), "{what}: {body}");
    for member in ["title", "detail", "request_id"] {
        assert!(problem[member].is_string(), "{what}: {body}");
    }
    let told = body.to_lowercase();
    for inside in ["sqlite", "select ", "/tmp/", "panicked"] {
        assert!(!told.contains(inside), "{what} tells {inside}: {body}");
    }
}

#[tokio::test]
async fn no_id_leads_anywhere_else() {
    let target = Target::new().await;
    let before = target.rows().await;
    let long = "a".repeat(6_000);
    for operation in operations() {
        let parts: Vec<&str> = operation.path.split('/').collect();
        for (index, _) in parts.iter().enumerate().filter(|(_, p)| p.starts_with('{')) {
            for trick in TRICKS.iter().copied().chain([long.as_str()]) {
                let path = parts.iter().enumerate().map(|(at, part)| {
                    if at == index {
                        trick.to_owned()
                    } else {
                        (*part).to_owned()
                    }
                });
                let path = target.real(&path.collect::<Vec<_>>().join("/"));
                let request = target.request(&operation, &path);
                let request = match &operation.body {
                    Some(_) => request.json(&json!({})),
                    None => request,
                };
                refused(&format!("{} {trick}", operation.name), request).await;
            }
        }
    }
    assert_eq!(target.rows().await, before);
}

#[tokio::test]
async fn no_filter_is_sql_and_none_is_unknown() {
    let target = Target::new().await;
    let before = target.rows().await;
    let long = "a".repeat(6_000);
    for operation in operations().iter().filter(|o| o.method == Method::GET) {
        let path = target.real(&operation.path);
        // The stream goes on: what it takes is told by its status alone.
        for name in &operation.query {
            for trick in TRICKS.iter().copied().chain([long.as_str()]) {
                let what = format!("{}?{name}={trick}", operation.name);
                let request = target.request(operation, &format!("{path}?{name}={trick}"));
                let answer = request.send().await.expect("an answer");
                if answer.status().is_success() {
                    // Text that may be anything: it is looked for, and not found.
                    let kind = answer.headers().get("content-type").cloned();
                    if kind.is_some_and(|kind| kind == "application/json") {
                        let found = answer.text().await.expect("a body");
                        let alarm = target.alarm.to_string();
                        assert!(!found.contains(&alarm), "{what} found {found}");
                    }
                } else {
                    let again = target.request(operation, &format!("{path}?{name}={trick}"));
                    refused(&what, again).await;
                }
            }
        }
        let unknown = target.request(operation, &format!("{path}?nobody_knows_this=1"));
        refused(&format!("{}?nobody_knows_this", operation.name), unknown).await;
    }
    assert_eq!(target.rows().await, before);
}

/// Returns bodies that do not fit the schema.
fn misfits(schema: &Value) -> Vec<Value> {
    let mut bodies = vec![
        json!(null),
        json!([]),
        json!("text"),
        json!(7),
        json!({"nobody_knows_this": 1}),
    ];
    let properties = schema["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        for wrong in [json!({"a": [1]}), json!([[]]), json!(true), json!(-1.5)] {
            let kinds = property["type"].to_string();
            let fits = (wrong.is_boolean() && kinds.contains("boolean"))
                || (wrong.is_number() && kinds.contains("number"));
            if !fits {
                let mut body = serde_json::Map::new();
                body.insert(name.clone(), wrong);
                bodies.push(Value::Object(body));
            }
        }
        // Longer than anything that is kept, within the limit of a body.
        let mut body = serde_json::Map::new();
        body.insert(name.clone(), json!("'; DROP TABLE alarm; --".repeat(500)));
        bodies.push(Value::Object(body));
    }
    bodies
}

#[tokio::test]
async fn no_body_of_another_shape_is_taken() {
    let target = Target::new().await;
    let before = target.rows().await;
    for operation in operations() {
        let Some(schema) = &operation.body else {
            continue;
        };
        let path = target.real(&operation.path);
        for body in misfits(schema) {
            let what = format!("{} {}", operation.name, shortened(&body.to_string()));
            refused(&what, target.request(&operation, &path).json(&body)).await;
        }
        let deep = "[".repeat(8_000);
        let broken = ["", "{", "{\"a\":", "\u{0}", "NaN", deep.as_str()];
        for text in broken {
            let request = target.request(&operation, &path);
            let request = request.header("content-type", "application/json");
            let what = format!("{} {}", operation.name, shortened(text));
            refused(&what, request.body(text.to_owned())).await;
        }
        let request = target.request(&operation, &path);
        let plain = request.header("content-type", "text/plain").body("{}");
        refused(&format!("{} as text", operation.name), plain).await;
        let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(4 << 20));
        let request = target.request(&operation, &path);
        let huge = request
            .header("content-type", "application/json")
            .body(huge);
        // The service may hang up before it has read all of it: that is a refusal too.
        if let Ok(answer) = huge.send().await {
            assert_eq!(answer.status(), 413, "{}", operation.name);
        }
    }
    assert_eq!(target.rows().await, before);
}

#[tokio::test]
async fn no_method_but_those_of_the_document_is_taken() {
    let target = Target::new().await;
    let before = target.rows().await;
    let all = operations();
    for operation in &all {
        let path = target.real(&operation.path);
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::POST] {
            let known = |other: &&Operation| other.path == operation.path && other.method == method;
            if all.iter().any(|other| known(&other)) {
                continue;
            }
            let other = Operation {
                name: format!("{method} {}", operation.path),
                method,
                path: operation.path.clone(),
                roles: operation.roles.clone(),
                query: Vec::new(),
                body: None,
            };
            refused(&other.name, target.request(&other, &path)).await;
        }
    }
    assert_eq!(target.rows().await, before);
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
