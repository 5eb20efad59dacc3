//! What tells one generation of the API from the other. Source: PocketBase's upgrade guide for 0.23 and the type
//! definitions of both.

use tree_sitter::Node;

use super::text;
use crate::pocketbase::Generation::{self, Before023, From023};

/// Functions that only one of them has.
const FUNCTIONS: &[(&str, Generation)] = &[
    // the generator wrote it without `new`
    ("Dao", Before023),
    ("onBeforeServe", Before023),
    ("onBeforeBootstrap", Before023),
    ("onAfterBootstrap", Before023),
    ("onBeforeApiError", Before023),
    ("onAfterApiError", Before023),
    ("onModelAfterCreate", Before023),
    ("onModelAfterUpdate", Before023),
    ("onModelAfterDelete", Before023),
    ("onRealtimeDisconnectRequest", Before023),
    ("onRecordListExternalAuthsRequest", Before023),
    ("routerPre", Before023),
    ("onBootstrap", From023),
    ("onBackupCreate", From023),
    ("onBackupRestore", From023),
    ("onBatchRequest", From023),
    ("onCollectionsImportRequest", From023),
    ("onFileTokenRequest", From023),
    ("onMailerSend", From023),
    ("onRealtimeMessageSend", From023),
    ("onRealtimeSubscribeRequest", From023),
    ("onRecordEnrich", From023),
    ("onSettingsReload", From023),
    ("onSettingsUpdateRequest", From023),
];

/// Beginnings and ends of names of functions that come in many forms.
const FORMS: &[(&str, &str, Generation)] = &[
    ("onAdmin", "Request", Before023),
    ("onRecordBefore", "Request", Before023),
    ("onRecordAfter", "Request", Before023),
    ("onCollectionBefore", "Request", Before023),
    ("onCollectionAfter", "Request", Before023),
    ("onCollectionsBefore", "Request", Before023),
    ("onCollectionsAfter", "Request", Before023),
    ("onSettingsBefore", "Request", Before023),
    ("onSettingsAfter", "Request", Before023),
    ("onFileBefore", "Request", Before023),
    ("onFileAfter", "Request", Before023),
    ("onModelBefore", "", Before023),
    ("onRealtimeBefore", "", Before023),
    ("onRealtimeAfter", "", Before023),
    ("onMailerBefore", "Send", Before023),
    ("onMailerAfter", "Send", Before023),
    ("onRecordAfter", "Success", From023),
    ("onRecordAfter", "Error", From023),
    ("onModelAfter", "Success", From023),
    ("onModelAfter", "Error", From023),
    ("onCollectionAfter", "Success", From023),
    ("onCollectionAfter", "Error", From023),
    ("onRecordCreate", "", From023),
    ("onRecordUpdate", "", From023),
    ("onRecordDelete", "", From023),
    ("onRecordValidate", "", From023),
    ("onRecordRequest", "Request", From023),
    ("onRecordConfirm", "Request", From023),
    ("onRecordAuthWith", "Request", From023),
    ("onRecordAuthRefresh", "Request", From023),
    ("onModelCreate", "", From023),
    ("onModelUpdate", "", From023),
    ("onModelDelete", "", From023),
    ("onModelValidate", "", From023),
    ("onCollectionCreate", "", From023),
    ("onCollectionUpdate", "", From023),
    ("onCollectionDelete", "", From023),
    ("onCollectionValidate", "", From023),
    ("onMailerRecord", "Send", From023),
];

/// Classes that only one of them has.
const CLASSES: &[(&str, Generation)] = &[
    ("Dao", Before023),
    ("Schema", Before023),
    ("SchemaField", Before023),
    ("CollectionUpsertForm", Before023),
    ("CollectionsImportForm", Before023),
    ("SettingsUpsertForm", Before023),
    ("Admin", Before023),
    ("AdminUpsertForm", Before023),
    ("AdminLoginForm", Before023),
    ("RecordPasswordLoginForm", Before023),
    ("RecordOAuth2LoginForm", Before023),
    ("RecordPasswordResetRequestForm", Before023),
    ("RecordPasswordResetConfirmForm", Before023),
    ("RecordEmailChangeRequestForm", Before023),
    ("RecordEmailChangeConfirmForm", Before023),
    ("RecordVerificationRequestForm", Before023),
    ("RecordVerificationConfirmForm", Before023),
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
    ("InternalServerError", From023),
    ("TooManyRequestsError", From023),
    ("Middleware", From023),
];

/// Methods, by what they are called on where that matters; the first that fits counts.
const METHODS: &[(Option<&str>, &str, Generation)] = &[
    (None, "dao", Before023),
    (Some("$apis"), "requireRecordAuth", Before023),
    (Some("$apis"), "requireAdminAuth", Before023),
    (Some("$apis"), "requireAdminAuthOnlyIfAny", Before023),
    (Some("$apis"), "requireAdminOrRecordAuth", Before023),
    (Some("$apis"), "requireAdminOrOwnerAuth", Before023),
    (Some("$apis"), "activityLogger", Before023),
    (Some("$apis"), "requestInfo", Before023),
    (Some("$apis"), "staticDirectoryHandler", Before023),
    (Some("c"), "request", Before023),
    (Some("e"), "request", Before023),
    (Some("c"), "bind", Before023),
    (None, "pathParam", Before023),
    (None, "queryParam", Before023),
    (None, "saveCollection", Before023),
    (None, "saveAdmin", Before023),
    (None, "getFieldByName", Before023),
    (None, "originalCopy", Before023),
    (Some("$apis"), "requireAuth", From023),
    (Some("$apis"), "requireSuperuserAuth", From023),
    (Some("$apis"), "requireSuperuserOrOwnerAuth", From023),
    (Some("$apis"), "skipSuccessActivityLog", From023),
    (Some("$apis"), "static", From023),
    (None, "pathValue", From023),
    (None, "requestInfo", From023),
    (None, "hasSuperuserAuth", From023),
    (None, "findUploadedFiles", From023),
    (None, "bindBody", From023),
    (Some("e"), "next", From023),
    (Some("c"), "next", From023),
];

/// What an app is called in code. The older API gave `db` to migrations, which has none of an app's methods.
const APPS: &[&str] = &["$app", "app", "txApp", "e.app", "db"];

/// Methods of an app in the newer one; in the older one a `Dao` had them, under these names or others.
const APP_METHODS: &[&str] = &[
    "auxDB",
    "auxSave",
    "canAccessRecord",
    "countRecords",
    "cron",
    "expandRecord",
    "expandRecords",
    "findAllCollections",
    "findAllRecords",
    "findAuthRecordByEmail",
    "findAuthRecordByToken",
    "findCachedCollectionByNameOrId",
    "findCollectionByNameOrId",
    "findFirstRecordByData",
    "findFirstRecordByFilter",
    "findRecordById",
    "findRecordsByFilter",
    "findRecordsByIds",
    "hasTable",
    "importCollections",
    "importCollectionsByMarshaledJSON",
    "nonconcurrentDB",
    "recordQuery",
    "reloadSettings",
    "runInTransaction",
    "save",
    "saveNoValidate",
    "saveView",
    "truncateCollection",
    "unsafeWithoutHooks",
];

/// What an event or a request has in one of them only.
const PROPERTIES: &[(Option<&str>, &str, Generation)] =
    &[(None, "httpContext", Before023), (Some("e"), "dao", Before023), (Some("e"), "auth", From023)];

/// What one node of the syntax tree says for sure.
pub(super) fn judge(node: Node<'_>, source: &str) -> Option<Generation> {
    match node.kind() {
        "call_expression" => call(node, source),
        "new_expression" => new(node, source),
        "member_expression" => property(node, source),
        _ => None,
    }
}

/// What one node lets suppose: names that are only conventions.
pub(super) fn suppose(node: Node<'_>, source: &str) -> Option<Generation> {
    let function = node.child_by_field_name("function").filter(|_| node.kind() == "call_expression")?;
    match text(function, source) {
        "migrate" => migrate(node, source),
        "$app.db" | "app.db" | "app.settings" => Some(From023),
        _ => None,
    }
}

fn call(node: Node<'_>, source: &str) -> Option<Generation> {
    let function = node.child_by_field_name("function")?;
    match function.kind() {
        "identifier" => match text(function, source) {
            "routerAdd" => route(node, source),
            name => {
                let exact = FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, generation)| *generation);
                let form = || FORMS.iter().find(|(start, end, _)| name.starts_with(start) && name.ends_with(end));
                exact.or_else(|| form().map(|(_, _, generation)| *generation))
            }
        },
        "member_expression" => {
            let (object, method) = parts(function, source)?;
            // what `db` was had a `delete` too
            let of_app = APPS.contains(&object) && APP_METHODS.contains(&method)
                || object != "db" && APPS.contains(&object) && method == "delete";
            if of_app { Some(From023) } else { known(METHODS, object, method) }
        }
        _ => None,
    }
}

/// `a.b.c`: the texts of `a.b` and of `c`.
fn parts<'a>(member: Node<'_>, source: &'a str) -> Option<(&'a str, &'a str)> {
    let part = |name| Some(text(member.child_by_field_name(name)?, source));
    Some((part("object")?, part("property")?))
}

fn known(table: &[(Option<&str>, &str, Generation)], object: &str, name: &str) -> Option<Generation> {
    let fits = |(on, known, _): &&(Option<&str>, &str, Generation)| *known == name && on.is_none_or(|on| on == object);
    table.iter().find(fits).map(|(_, _, generation)| *generation)
}

/// `e.httpContext` before; `e.auth`, `e.request.url` since, where `request` is no longer a function.
fn property(node: Node<'_>, source: &str) -> Option<Generation> {
    let (object, name) = parts(node, source)?;
    // the methods are judged where they are called
    let is_called = node.parent().is_some_and(|it| {
        it.kind() == "call_expression" && it.child_by_field_name("function").is_some_and(|function| function == node)
    });
    match object {
        "e.request" | "c.request" => Some(From023),
        _ if is_called => None,
        _ => known(PROPERTIES, object, name),
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
