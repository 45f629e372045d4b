//! The directory that becomes hauld's root where ssh leads: the place itself, or the directory above entries.

use haul_protocol::Name;

use super::destination::{Destination, Server};
use super::ssh::{Access, common};

impl Destination {
    /// The same place; if ssh leads there, the directory itself is hauld's root.
    #[must_use]
    pub(crate) fn itself(mut self, access: Access) -> Self {
        if let Server::Ssh(ssh) = &mut self.server {
            ssh.access = access;
            if let Some(name) = self.path.take() {
                ssh.root = ssh.below(name.as_bytes());
            }
        }
        self
    }
}

/// Makes the deepest directory in which all of these places are hauld's root, for each machine that ssh leads to.
pub(crate) fn root_above<'a>(
    places: impl IntoIterator<Item = &'a mut Destination>,
    access: Access,
) {
    let mut places: Vec<_> = places.into_iter().filter(|place| place.is_over_ssh()).collect();
    while let Some(first) = places.first() {
        let first = (**first).clone();
        let (mut same, others): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| place.is_beside(&first));
        let above = common(same.iter().filter_map(|place| place.path.as_ref()));
        let below = |path: &Option<Name>| {
            let name = path.as_ref().filter(|_| !above.is_empty())?;
            Name::parse(&name.as_bytes()[above.len() + 1..]).ok()
        };
        // A name that can't begin so keeps all of them as they are.
        let is_inside = same.iter().all(|place| below(&place.path).is_some());
        for Destination { server, path, .. } in same.iter_mut().map(|place| &mut **place) {
            let Server::Ssh(ssh) = server else { continue };
            ssh.access = access;
            if is_inside {
                ssh.root = ssh.below(&above);
                *path = below(&*path);
            }
        }
        places = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str, how: impl FnOnce(Destination) -> Destination) -> (String, String) {
        let found = how(text.parse().unwrap());
        let Server::Ssh(ssh) = found.server else { panic!("{text}") };
        let path = found.path.map(|path| path.to_string());
        (String::from_utf8(ssh.root).unwrap(), path.unwrap_or_default())
    }

    #[test]
    fn root_over_ssh_is_the_directory_itself_or_the_one_above() {
        let above = |mut place: Destination| {
            root_above([&mut place], Access::Makes);
            place
        };
        for (text, itself, root_of_entry, entry) in [
            ("box:a/b/", "a/b", "a", "b"),
            ("box:a", "a", "", "a"),
            ("box:", "", "", ""),
            ("box:/", "/", "/", ""),
            ("box:/srv/up", "/srv/up", "/srv", "up"),
            ("box:/srv", "/srv", "/", "srv"),
            ("box:../a/b", "../a/b", "../a", "b"),
            ("box:../a", "../a", "..", "a"),
            ("box:..", "..", "..", ""),
            ("me@[::1]:a/b", "a/b", "a", "b"),
            ("ssh://me@box:22/a/b", "/a/b", "/a", "b"),
        ] {
            let found = root(text, |place| place.itself(Access::Makes));
            assert_eq!(found, (itself.to_owned(), String::new()), "{text}");
            assert_eq!(root(text, above), (root_of_entry.to_owned(), entry.to_owned()), "{text}");
        }
        let tcp: Destination = "box/a/b".parse().unwrap();
        assert_eq!(tcp.clone().itself(Access::Makes), tcp);
    }

    #[test]
    fn several_places_have_the_deepest_root_above_all() {
        let mut places: Vec<Destination> =
            ["box:a/b/c", "box:a/d", "me@box:x/y", "box/a/b", "box:a/b/e"]
                .map(|it| it.parse().unwrap())
                .into();
        root_above(&mut places, Access::Reads);
        let shown: Vec<_> = places
            .iter()
            .map(|it| format!("{}|{}", it.server, it.path.as_ref().unwrap()))
            .collect();
        let expected = ["box:a/|b/c", "box:a/|d", "me@box:x/|y", "box:8080|a/b", "box:a/|b/e"];
        assert_eq!(shown, expected);
        assert!(places[0].is_beside(&places[4]) && !places[0].is_beside(&places[2]));
    }

    #[test]
    fn name_that_can_not_begin_so_keeps_all_as_they_are() {
        let mut places: Vec<Destination> =
            ["box:a/.haul", "box:a/b"].map(|it| it.parse().unwrap()).into();
        root_above(&mut places, Access::Changes);
        assert_eq!(places[0].path.as_ref().unwrap().as_bytes(), b"a/.haul");
        assert!(places[0].is_beside(&places[1]));
    }

    #[test]
    fn form_of_ssh_is_shown_as_it_is_written() {
        for text in
            ["box:a/", "me@box:", "box:/", "ssh://me@box:22/a/", "ssh://box:1/~/a/", "me@[::1]:a/"]
        {
            let place = text.parse::<Destination>().unwrap().itself(Access::Reads);
            assert_eq!(place.server.to_string(), text);
        }
    }
}
