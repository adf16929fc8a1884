#![allow(warnings)]
use nixdag::plan::partition::{contract::*, jobs::*, schedule::*, sweep::*, zero::*};
use nixdag::plan::{model::*, partition::*, problem::*, simulate::*};
pub fn load(f: &str) -> Problem {
    let t = std::fs::read_to_string(f).unwrap();
    let mut l = t.lines();
    let _n: usize = l.next().unwrap().parse().unwrap();
    let mut p = Problem::default();
    let mut ins = vec![];
    for x in l {
        let mut f = x.split(' ');
        p.duration.push(f.next().unwrap().parse().unwrap());
        p.cheap.push(f.next().unwrap() == "1");
        p.target.push(f.next().unwrap() == "1");
        p.system.push(f.next().unwrap().parse().unwrap());
        p.floating.push(false);
        p.name_rank.push(f.next().unwrap().parse().unwrap());
        f.next();
        ins.push(f.filter(|x| !x.is_empty()).map(|x| x.parse().unwrap()).collect());
    }
    p.inputs = Adjacency::from_lists(ins);
    p.consumers = p.inputs.reversed();
    p
}
pub fn cpu() -> f64 {
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t);
    }
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let layer: u64 = a[0].parse().unwrap();
    for s in &a[1..] {
        let p = load(&format!("/tmp/pl/{s}.txt"));
        let m = Model { layer, ..Model::default() };
        println!("{s} lower bound {}", lower_bound(&p, &m) / 1000);
        for gran in [Granularity::Auto, Granularity::Target, Granularity::Single] {
            for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                let o = Options { granularity: gran, objective, reserve: Some(0.0), ..Default::default() };
                let c = cpu();
                let plan = nixdag::plan::partition::partition(&p, &m, &o);
                let c1 = cpu() - c;
                let sim = simulate(&p, &plan.partition, &m);
                println!(
                    "{s} {gran:?} {objective:?} {} / {} jobs {} layers {} cpu {:.2} {:?}",
                    sim.makespan / 1000,
                    sim.job_time / 1000,
                    plan.partition.jobs.len(),
                    sim.layers,
                    c1,
                    plan.notes
                );
            }
        }
    }
}
