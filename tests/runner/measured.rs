//! What a job measures of its builders and of itself.

use std::fs;

use nixdag::history::records::Records;

use crate::support::pipeline::{Pipeline, Ran, with_each_nix};
use crate::support::with_one_nix;

#[test]
fn processor_time_memory_and_sizes_are_those_of_each_builder() {
    with_each_nix("processor_time_memory_and_sizes_are_those_of_each_builder", || {
        let large = "x=$(head -c 60000000 /dev/zero | tr '\\\\0' x); sleep 3; echo ${#x} > $out";
        let large = large.replace("${#x}", "done");
        let busy =
            "(end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do :; done); head -c 5000 /dev/zero > $out";
        let pipeline = Pipeline::new(
            &format!(
                r#"{{ large = drv "large" "{large}"; busy = drv "busy" "{busy}"; idle = drv "idle" "sleep 3; echo > $out"; }}"#
            ),
            &[("job", &["large", "busy", "idle"], &[], &[])],
        );
        let ran = pipeline.run("job", &["--max-jobs", "3"]).succeeds();
        let [large, busy, idle] = ["large", "busy", "idle"].map(|name| ran.of(name).used.clone());
        let said = format!("{large:?} {busy:?} {idle:?}");
        assert!(large.memory.unwrap() >= 60_000_000 && idle.memory.unwrap() < 20_000_000, "{said}");
        // It shares two processors with other tests; the idle one needs a few milliseconds.
        assert!(busy.cpu.unwrap() >= 500 && idle.cpu.unwrap() < 300, "{said}");
        let mut slots: Vec<_> = [&large, &busy, &idle].iter().map(|used| used.slot.unwrap()).collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2], "all three at once: {said}");
        // A NAR of one file: 112 bytes, and the content in eights.
        assert_eq!(busy.nar_bytes, Some(112 + 5000));
        assert_eq!(busy.closure_bytes, busy.nar_bytes, "it refers to nothing");
        let job = ran.record.as_ref().unwrap();
        let measured = &job.measured;
        assert!(measured.build.unwrap() >= 3000 && measured.build.unwrap() <= job.duration, "{measured:?}");
        assert!(large.begun.unwrap() >= measured.import.unwrap() && large.begun.unwrap() < job.duration, "{said}");
        assert!(measured.memory.unwrap() > 60_000_000 && measured.disk.is_some() && measured.cores.is_some());
        assert_eq!(measured.processor.is_some(), fs::read_to_string("/proc/cpuinfo").unwrap().contains("model name"));
        assert!(measured.idle.unwrap() <= 3 * measured.build.unwrap() - 9000, "{measured:?}");
        assert!(busy.earlier.is_empty() && busy.output_bytes.is_empty(), "{said}");
        assert_eq!(measured.handoff_bytes, Some(job.handed_off.file_bytes));

        let records = fs::read(pipeline.dir().join("results/job/records.json")).unwrap();
        let records = Records::read(&records, job.started).unwrap();
        assert_eq!((records.builds.len(), records.left_out, &records.jobs[0].measured), (3, 0, measured));
        assert!(records.builds.iter().any(|build| build.used == busy));
    });
}

#[test]
fn a_job_knows_what_it_took_from_others_and_how_large_closures_are() {
    with_one_nix("a_job_knows_what_it_took_from_others_and_how_large_closures_are", || {
        let pipeline = Pipeline::new(
            r#"rec { library = drv "library" "head -c 5000 /dev/zero > $out"; program = drv "program" "echo ${library} > $out"; }"#,
            &[("first", &["library"], &[], &[]), ("second", &["program"], &[], &["first"])],
        );
        let first = pipeline.run("first", &[]).succeeds();
        let second = pipeline.run("second", &[]).succeeds();
        let measured = |ran: &Ran| ran.record.as_ref().unwrap().measured.clone();
        let (library, program) = (first.of("library").used.clone(), second.of("program").used.clone());
        assert_eq!(library.closure_bytes, library.nar_bytes, "it refers to nothing");
        let sum = library.nar_bytes.unwrap() + program.nar_bytes.unwrap();
        assert_eq!(program.closure_bytes, Some(sum), "its output names the library");
        assert_eq!(measured(&first).handoff_nar_bytes, library.nar_bytes);
        assert_eq!((measured(&first).down_bytes, measured(&first).down), (None, None), "it took nothing");
        let of_second = measured(&second);
        assert_eq!((of_second.down_bytes, of_second.fetched_bytes), (library.nar_bytes, library.nar_bytes));
        assert!(of_second.down.unwrap() <= of_second.fetch.unwrap(), "{of_second:?}");
    });
}

#[test]
fn nix_begins_what_is_ready_in_the_order_that_plans_from_records_assume() {
    with_each_nix("nix_begins_what_is_ready_in_the_order_that_plans_from_records_assume", || {
        let names = ["p10", "z", "p1", "p1-2", "m"];
        let packages: Vec<String> = (0..)
            .zip(names)
            .map(|(number, name)| format!("d{number} = drv \"{name}\" \"sleep 0.1; echo > $out\";"))
            .collect();
        let all = ["d0", "d1", "d2", "d3", "d4"];
        let pipeline = Pipeline::new(&format!("{{ {} }}", packages.join(" ")), &[("job", &all, &[], &[])]);
        let ran = pipeline.run("job", &["--max-jobs", "1"]).succeeds();
        let mut order = names;
        order.sort_by_key(|name| ran.of(name).used.begun.unwrap());
        // By the name of the file, which goes on with `.drv`.
        assert_eq!(order, ["m", "p1-2", "p1", "p10", "z"]);
    });
}
