//! What tells one generation of the API from the other. Source: PocketBase's upgrade guide for 0.23 and the type
//! definitions of both.

use tree_sitter::Node;

use super::text;
use crate::pocketbase::Generation::{self, Before023, From023};

/// Functions that only one of them has.
const FUNCTIONS: &[(&str, Generation)] = &[
    ("onBeforeServe", Before023),
    ("onBeforeBootstrap", Before023),
    ("onAfterBootstrap", Before023),
    ("onBeforeApiError", Before023),
    ("onAfterApiError", Before023),
    ("onModelBeforeCreate", Before023),
    ("onModelAfterCreate", Before023),
    ("onModelBeforeUpdate", Before023),
    ("onModelAfterUpdate", Before023),
    ("onModelBeforeDelete", Before023),
    ("onModelAfterDelete", Before023),
    ("onBootstrap", From023),
    ("onSettingsReload", From023),
    ("onMailerSend", From023),
    ("onModelCreate", From023),
    ("onModelUpdate", From023),
    ("onModelDelete", From023),
    ("onModelCreateExecute", From023),
    ("onModelValidate", From023),
    ("onRecordCreate", From023),
    ("onRecordUpdate", From023),
    ("onRecordDelete", From023),
    ("onRecordCreateExecute", From023),
    ("onRecordUpdateExecute", From023),
    ("onRecordDeleteExecute", From023),
    ("onRecordEnrich", From023),
    ("onRecordValidate", From023),
    ("onRecordCreateRequest", From023),
    ("onRecordUpdateRequest", From023),
    ("onRecordDeleteRequest", From023),
    ("onRecordAuthWithPasswordRequest", From023),
    ("onRecordAuthWithOAuth2Request", From023),
    ("onRecordAuthWithOTPRequest", From023),
    ("onRecordAuthRefreshRequest", From023),
    ("onRecordRequestOTPRequest", From023),
    ("onCollectionCreate", From023),
    ("onCollectionUpdate", From023),
    ("onRealtimeSubscribeRequest", From023),
    ("onBatchRequest", From023),
];

/// Classes that only one of them has.
const CLASSES: &[(&str, Generation)] = &[
    ("Dao", Before023),
    ("SchemaField", Before023),
    ("RecordUpsertForm", Before023),
    ("CollectionUpsertForm", Before023),
    ("AdminUpsertForm", Before023),
    ("TestEmailSendForm", Before023),
    ("Admin", Before023),
    ("TextField", From023),
    ("NumberField", From023),
    ("BoolField", From023),
    ("EmailField", From023),
    ("URLField", From023),
    ("EditorField", From023),
    ("DateField", From023),
    ("AutodateField", From023),
    ("SelectField", From023),
    ("FileField", From023),
    ("RelationField", From023),
    ("JSONField", From023),
    ("PasswordField", From023),
    ("GeoPointField", From023),
    ("Field", From023),
    ("FieldsList", From023),
];

/// Methods, by what they are called on where that matters.
const METHODS: &[(Option<&str>, &str, Generation)] = &[
    (Some("$app"), "dao", Before023),
    (None, "dao", Before023),
    (Some("$apis"), "requireRecordAuth", Before023),
    (Some("$apis"), "requireAdminAuth", Before023),
    (Some("$apis"), "requireAdminOrRecordAuth", Before023),
    (Some("$apis"), "requireAdminOrOwnerAuth", Before023),
    (Some("$apis"), "activityLogger", Before023),
    (Some("$apis"), "requestInfo", Before023),
    (None, "pathParam", Before023),
    (None, "queryParam", Before023),
    (None, "saveCollection", Before023),
    (None, "getFieldByName", Before023),
    (Some("$apis"), "requireAuth", From023),
    (Some("$apis"), "requireSuperuserAuth", From023),
    (Some("$apis"), "requireSuperuserOrOwnerAuth", From023),
    (None, "pathValue", From023),
    (Some("e"), "next", From023),
    (Some("e"), "requestInfo", From023),
    (Some("e"), "bindBody", From023),
    (Some("e"), "hasSuperuserAuth", From023),
    (Some("app"), "save", From023),
    (Some("app"), "delete", From023),
    (Some("app"), "db", From023),
    (Some("app"), "settings", From023),
    (Some("app"), "importCollections", From023),
    (Some("app"), "importCollectionsByMarshaledJSON", From023),
    (Some("app"), "findCollectionByNameOrId", From023),
    (Some("app"), "findRecordById", From023),
    (Some("app"), "findFirstRecordByData", From023),
    (Some("app"), "findFirstRecordByFilter", From023),
    (Some("app"), "findRecordsByFilter", From023),
    (Some("app"), "findAllRecords", From023),
    (Some("$app"), "save", From023),
    (Some("$app"), "delete", From023),
    (Some("$app"), "db", From023),
    (Some("$app"), "findRecordById", From023),
    (Some("$app"), "findCollectionByNameOrId", From023),
    (Some("$app"), "findFirstRecordByData", From023),
    (Some("$app"), "findFirstRecordByFilter", From023),
    (Some("$app"), "findRecordsByFilter", From023),
    (Some("$app"), "findAllRecords", From023),
    (Some("$app"), "findAuthRecordByEmail", From023),
    (Some("$app"), "runInTransaction", From023),
];

/// Beginnings and ends of names of functions that come in many forms.
const FORMS: &[(&str, &str, Generation)] = &[
    ("onRecordBefore", "Request", Before023),
    ("onRecordAfter", "Request", Before023),
    ("onRecordsBefore", "Request", Before023),
    ("onCollectionBefore", "Request", Before023),
    ("onCollectionAfter", "Request", Before023),
    ("onCollectionsBefore", "Request", Before023),
    ("onSettingsBefore", "Request", Before023),
    ("onSettingsAfter", "Request", Before023),
    ("onRealtimeBefore", "Request", Before023),
    ("onRealtimeAfter", "", Before023),
    ("onFileBefore", "Request", Before023),
    ("onFileAfter", "Request", Before023),
    ("onMailerBefore", "Send", Before023),
    ("onMailerAfter", "Send", Before023),
    ("onAdmin", "Request", Before023),
    ("onRecordAfter", "Success", From023),
    ("onRecordAfter", "Error", From023),
    ("onModelAfter", "Success", From023),
    ("onModelAfter", "Error", From023),
    ("onCollectionAfter", "Success", From023),
    ("onCollectionAfter", "Error", From023),
];

/// What one node of the syntax tree says.
pub(super) fn judge(node: Node<'_>, source: &str) -> Option<Generation> {
    match node.kind() {
        "call_expression" => call(node, source),
        "new_expression" => new(node, source),
        _ => None,
    }
}

fn call(node: Node<'_>, source: &str) -> Option<Generation> {
    let function = node.child_by_field_name("function")?;
    match function.kind() {
        "identifier" => match text(function, source) {
            "migrate" => migrate(node, source),
            "routerAdd" => route(node, source),
            name => {
                let exact = FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, generation)| *generation);
                let form = || FORMS.iter().find(|(start, end, _)| name.starts_with(start) && name.ends_with(end));
                exact.or_else(|| form().map(|(_, _, generation)| *generation))
            }
        },
        "member_expression" => {
            let object = text(function.child_by_field_name("object")?, source);
            let method = text(function.child_by_field_name("property")?, source);
            let fits = |(on, known, _): &&(Option<&str>, &str, Generation)| {
                *known == method && on.is_none_or(|on| on == object)
            };
            METHODS.iter().find(fits).map(|(_, _, generation)| *generation)
        }
        _ => None,
    }
}

/// `migrate((db) => …)` or `migrate((app) => …)`: both are only conventions, but the generator's own.
fn migrate(node: Node<'_>, source: &str) -> Option<Generation> {
    let up = node.child_by_field_name("arguments")?.named_child(0)?;
    let parameter = match up.child_by_field_name("parameter") {
        Some(single) => single,
        None => up.child_by_field_name("parameters")?.named_child(0)?,
    };
    match text(parameter, source) {
        "db" | "dao" => Some(Before023),
        "app" | "txApp" => Some(From023),
        _ => None,
    }
}

/// `/hello/:name` before, `/hello/{name}` since.
fn route(node: Node<'_>, source: &str) -> Option<Generation> {
    let path = text(node.child_by_field_name("arguments")?.named_child(1)?, source);
    match path {
        path if path.contains("/:") => Some(Before023),
        path if path.contains("/{") && !path.starts_with('`') => Some(From023),
        _ => None,
    }
}

fn new(node: Node<'_>, source: &str) -> Option<Generation> {
    let class = text(node.child_by_field_name("constructor")?, source);
    if class == "Collection" {
        return collection(node, source);
    }
    CLASSES.iter().find(|(known, _)| *known == class).map(|(_, generation)| *generation)
}

/// `new Collection({ schema: […] })` before, `fields` since.
fn collection(node: Node<'_>, source: &str) -> Option<Generation> {
    let object = node.child_by_field_name("arguments")?.named_child(0)?;
    let mut cursor = object.walk();
    object.named_children(&mut cursor).find_map(|pair| {
        let key = text(pair.child_by_field_name("key")?, source);
        match key.trim_matches(['"', '\'']) {
            "schema" => Some(Before023),
            "fields" => Some(From023),
            _ => None,
        }
    })
}
