//! What code is of which generation.

use super::*;

fn generation(code: &str) -> Option<Generation> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_javascript::LANGUAGE.into()).expect("language");
    of_text(&mut parser, code)
}

#[test]
fn code_is_told_by_what_it_calls() {
    for code in [
        "migrate((db) => { const dao = new Dao(db); return dao.saveCollection(null) }, (db) => null)",
        "migrate(function (db) { db.newQuery('x').execute() })",
        "migrate(db => { })",
        "migrate((db) => Dao(db).importCollections([{}].map((item) => unmarshal(item, new Collection())), true, null))",
        "migrate((x) => Dao(x).importCollections([], true, null))",
        "migrate((x) => { const admin = new Admin(); return Dao(x).saveAdmin(admin) })",
        "onRecordBeforeCreateRequest((e) => { throw new BadRequestError('no') }, 'posts')",
        "routerAdd('GET', '/hello/:name', (c) => c.json(200, {}))",
        "cronAdd('x', '* * * * *', () => { $app.dao().findRecordById('a', 'b') })",
        "const c = new Collection({ name: 'a', schema: [{ name: 'fields' }] })",
        "onRecordAfterCreateRequest((e) => { const ip = e.httpContext.realIp() })",
        "onRealtimeDisconnectRequest((e) => console.log(e.client.id()))",
        "onModelBeforeUpdate((e) => { e.dao.saveRecord(e.model) })",
        "routerAdd('GET', '/x', (c) => { const agent = c.request().header.get('User-Agent') })",
    ] {
        assert_eq!(generation(code), Some(Generation::Before023), "{code}");
    }
    for code in [
        "migrate((app) => { app.save(new Collection({ name: 'a', fields: [] })) })",
        "onRecordAfterCreateSuccess((e) => { e.next() }, 'posts')",
        "routerAdd('GET', '/hello/{name}', (e) => e.json(200, {}), $apis.requireAuth())",
        "cronAdd('x', '* * * * *', () => { $app.findRecordById('a', 'b') })",
        "async function f() { for await (const x of y) {} }\nonBootstrap((e) => e.next())",
        "migrate((app) => null)",
        "migrate((db) => { const c = db.findCollectionByNameOrId('a'); c.listRule = ''; db.save(c) }, (db) => null)",
        "migrate((db) => { db.save(new Collection({ name: 'a', fields: [] })) }, (db) => { db.delete('a') })",
        "routerAdd('GET', '/x', (c) => { const agent = c.request.header.get('User-Agent') })",
        "routerAdd('GET', '/x', (e) => e.json(200, { id: e.auth?.id }))",
        "onRecordConfirmVerificationRequest((e) => { const form = new RecordUpsertForm($app, e.record) })",
        "onMailerRecordPasswordResetSend((e) => {})",
        // TypeScript is no JavaScript, but what is around it is still read
        "const x: string = 'a';\nonRecordCreate((e: core.RecordEvent) => { e.next() })",
    ] {
        assert_eq!(generation(code), Some(Generation::From023), "{code}");
    }
    for code in [
        "",
        "// migrate((db) => new Dao(db))\nrouterAdd('GET', '/hello', (e) => e.json(200, {}))",
        "const text = 'onRecordBeforeCreateRequest(() => new Dao(db))'",
        "cronAdd('x', '* * * * *', () => console.log(`e.next()`))",
        "}}}} not ((( code",
        "const form = new RecordUpsertForm($app, new Record(null))",
        "const collection = unmarshal({ name: 'a' }, new Collection())",
        "onRecordAuthRequest((e) => {})\nonRecordsListRequest((e) => {})\nonRealtimeConnectRequest((e) => {})",
    ] {
        assert_eq!(generation(code), None, "{code}");
    }
}

#[test]
fn deeply_nested_code_is_read_in_bounded_time_and_stack() {
    assert_eq!(generation(&"(".repeat(200_000)), None);
    assert_eq!(generation(&"[{a:".repeat(50_000)), None);
}
