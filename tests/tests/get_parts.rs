//! Parts of large files that an earlier `haul get` has left, in a target that has little room.

use haul_tests::bytes::counted;
use haul_tests::mounts::haul_after;
use haul_tests::prelude::*;

/// Runs a script in a shell with `$PLACE/d` on a file system of 8 MiB; `get` and `sync` in it bring the contents of `s`,
/// `$THERE` is `s` at the server, and `count` tells how many files of haul's own are in `d`.
fn script(setting: &Setting, script: &str) -> Output {
    fs::create_dir_all(setting.place.path().join("d")).unwrap();
    let functions = format!(
        "set +e; get() {{ \"$PROGRAM\" get haul://{0} \"$PLACE/d\"; }}; \
         sync() {{ \"$PROGRAM\" sync --delete haul://{0} \"$PLACE/d\"; }}; \
         count() {{ ls -A \"$PLACE/d\" | grep -c haul-arrives; }}; ",
        setting.at("s/")
    );
    let setup = format!("mount -t tmpfs -o size=8m none \"$PLACE/d\"; {functions}{script}; exit 0");
    let mut command = haul_after(&setup, setting.place.path());
    output_of(command.env("THERE", setting.target()))
}

/// A server with files of so many MiB, of which the first has too little room.
fn setting() -> Setting {
    let setting = Setting::start();
    fs::create_dir(setting.target()).unwrap();
    fs::write(setting.target().join("big"), counted(20 << 20)).unwrap();
    fs::write(setting.place.path().join("small"), counted(3 << 20)).unwrap();
    setting
}

/// Trap `partials_fill_the_disk`.
#[test]
fn parts_of_a_file_that_the_server_has_no_more_make_room_for_others() {
    for verb in ["get", "sync"] {
        let setting = setting();
        let text = format!(
            "get; echo one $? $(count); rm \"$THERE/big\"; cp \"$PLACE/small\" \"$THERE/small\"; \
             {verb}; echo two $? $(count); cmp \"$THERE/small\" \"$PLACE/d/small\"; echo same $?"
        );
        let output = script(&setting, &text);
        let told = String::from_utf8(output.stdout).unwrap();
        for line in ["one 1 1", "two 0 0", "same 0"] {
            assert!(told.lines().any(|found| found == line), "{line} of {verb}: {told}");
        }
    }
}

#[test]
fn parts_of_a_file_that_the_server_still_has_stay_and_a_failure_names_them() {
    let setting = setting();
    let text = "get; cp \"$PLACE/small\" \"$THERE/small\"; get; echo two $? $(count)";
    let output = script(&setting, text);
    let told = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8(output.stderr).unwrap();
    assert!(told.lines().any(|found| found.starts_with("two 1 ")), "{told}");
    assert!(failed.contains("the files .haul-arrives-p* in"), "{failed}");
}
