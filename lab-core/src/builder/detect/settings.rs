//! What a configuration in JavaScript gives to a name: looked for in its text (`Package::config`), never evaluated.

/// What is said of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The name is not there.
    Nothing,
    /// This one, seen from where the configuration's other paths are.
    Folder(String),
    /// This one, seen from the configuration's own folder.
    Own(String),
    /// What only running it would tell.
    Unknown,
}

/// A longer value is none.
const MAX_VALUE: usize = 512;

/// The text that is given to `name`.
pub(super) fn text(config: &str, name: &str) -> Option<String> {
    let (_, rest) = config.split_once(&format!("{name}:'"))?;
    let value = rest.split('\'').next()?;
    (!value.is_empty() && !value.contains("${")).then(|| value.to_owned())
}

/// The folder that is given to `name`.
pub(super) fn folder(config: &str, name: &str) -> Said {
    match value(config, name) {
        None => Said::Nothing,
        Some(value) => read(value).unwrap_or(Said::Unknown),
    }
}

/// What is given to `name`: until the next comma, or the end of what it is in.
fn value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("{name}:");
    // `emptyOutDir` is another name
    let is_name = |at: &usize| !config[..*at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'));
    let at = config.match_indices(&key).map(|(at, _)| at).find(is_name)?;
    let rest = &config[at + key.len()..];
    Some(parts(&rest[..rest.floor_char_boundary(MAX_VALUE)]).next().unwrap_or_default())
}

/// A text at its commas that are in no brackets and no quotes, until the bracket that closes what it is in.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut is_quoted, mut is_open) = (0_usize, false, true);
    let end = move |c: char| {
        match c {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted || !is_open => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => is_open = false,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => return true,
            _ => {}
        }
        !is_open
    };
    text.split(end)
}

/// `'dist'`, `env.OUT || 'dist'`, `path.resolve(__dirname, '..', 'dist')`, `fileURLToPath(new URL('../dist',
/// import.meta.url))`
fn read(value: &str) -> Option<Said> {
    if let Some(text) = literal(value) {
        return Some(Said::Folder(text));
    }
    if let Some((_, rest)) = value.split_once("newURL(") {
        let mut arguments = parts(rest);
        let text = literal(arguments.next()?)?;
        return (arguments.next()? == "import.meta.url").then_some(Said::Own(text));
    }
    let (before, inside) = value.split_once('(').unwrap_or((value, ""));
    if before.ends_with("resolve") || before.ends_with("join") {
        let first = parts(inside).next()?;
        let is_here = first.ends_with("dirname") || first == "process.cwd()";
        let after = parts(inside).take_while(|part| !part.is_empty()).skip(usize::from(is_here));
        let names: Vec<String> = after.map(literal).collect::<Option<_>>()?;
        return (!names.is_empty()).then(|| Said::Own(names.join("/")));
    }
    let otherwise = value.rsplit_once("??").or_else(|| value.rsplit_once("||"));
    let otherwise = otherwise.and_then(|(_, otherwise)| literal(otherwise));
    // `forPhones ? 'dist' : '../pb_public'`
    let meant = || value.split('\'').find(|text| text.ends_with("pb_public")).map(str::to_owned);
    otherwise.or_else(meant).map(Said::Folder)
}

/// What is between quotes, when a value is nothing but that.
fn literal(value: &str) -> Option<String> {
    let (text, after) = value.strip_prefix('\'')?.split_once('\'')?;
    let is_all = after.is_empty() || ["//", "/*", "as"].iter().any(|start| after.starts_with(start));
    (is_all && !text.is_empty() && !text.contains("${")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_as_people_write_them() {
        let folder = |value: &str| {
            let config = format!("{{build:{{emptyOutDir:true,outDir:{value},minify:'x'}}}}");
            folder(&config, "outDir")
        };
        let own = |path: &str| Said::Own(path.to_owned());
        let from_root = |path: &str| Said::Folder(path.to_owned());
        for (value, expected) in [
            ("'../pb_public'", from_root("../pb_public")),
            ("'dist'//whereitgoes", from_root("dist")),
            ("process.env.OUT||'../dist'", from_root("../dist")),
            ("env.OUT??'dist'", from_root("dist")),
            ("path.resolve(__dirname,'../pb_public')", own("../pb_public")),
            ("resolve(import.meta.dirname,'..','backend','pb_public')", own("../backend/pb_public")),
            ("path.join(process.cwd(),'dist')", own("dist")),
            ("path.resolve('../dist')", own("../dist")),
            ("fileURLToPath(newURL('../pb_public',import.meta.url))", own("../pb_public")),
            ("newURL('dist',import.meta.url).pathname", own("dist")),
            ("path.resolve(root,'dist')", Said::Unknown),
            ("path.resolve(__dirname,name)", Said::Unknown),
            ("dev?'a':'b'", Said::Unknown),
            ("dev?'a':'../pb_public'", from_root("../pb_public")),
            ("'${name}/dist'", Said::Unknown),
            ("out", Said::Unknown),
            ("path.resolve(", Said::Unknown),
            ("", Said::Unknown),
        ] {
            assert_eq!(folder(value), expected, "{value}");
        }
        assert_eq!(super::folder("{emptyOutDir:'x',build:{outDir:'y'}}", "OutDir"), Said::Nothing);
        assert_eq!(super::folder("{outDir:'y'}", "outDir"), from_root("y"));
    }
}
