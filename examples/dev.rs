#![allow(warnings)]
use nixdag::plan::{model::*, problem::*, partition::*, simulate::*};
use nixdag::plan::partition::{jobs::*, zero::*, sweep::*, schedule::*, contract::*};
pub fn load(f: &str) -> Problem {
    let t = std::fs::read_to_string(f).unwrap();
    let mut l = t.lines(); let _n: usize = l.next().unwrap().parse().unwrap();
    let mut p = Problem::default(); let mut ins = vec![];
    for x in l { let mut f = x.split(' ');
        p.duration.push(f.next().unwrap().parse().unwrap());
        p.cheap.push(f.next().unwrap() == "1");
        p.target.push(f.next().unwrap() == "1");
        p.system.push(f.next().unwrap().parse().unwrap());
        p.floating.push(false);
        p.name_rank.push(f.next().unwrap().parse().unwrap());
        f.next();
        ins.push(f.filter(|x| !x.is_empty()).map(|x| x.parse().unwrap()).collect());
    }
    p.inputs = Adjacency::from_lists(ins); p.consumers = p.inputs.reversed(); p
}
pub fn cpu() -> f64 { let mut t: libc::timespec = unsafe { std::mem::zeroed() }; unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t); } t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9 }
fn main() {
    for s in std::env::args().skip(1) {
        let p = load(&format!("/tmp/pl/{s}.txt"));
        let m = Model::default();
        let lb = lower_bound(&p, &m);
        for gran in [Granularity::Auto, Granularity::Target] {
        let c = cpu();
        let (u, notes) = contract(&p, &m);
        println!("{s} {gran:?} n {} lb {} units {} edges {} contract {:.2}s {:?}", p.len(), lb/1000, u.len(), u.inputs.edges(), cpu()-c, notes);
        let o = Options { granularity: gran, reserve: Some(0.0), ..Default::default() };
        let g = Ground { problem: &p, units: &u, model: &m, options: &o, start_up: m.start_up };
        let mut sch = Scheduler::new(&p);
        let mut t = search::Tools { ground: &g, scheduler: &mut sch, marks: Marks::default(), steps: Steps(i64::MAX) };
        let mut best = vec![];
        let c = cpu();
        for order in [EdgeOrder::FromStart, EdgeOrder::FromEnd, EdgeOrder::ShortestFirst, EdgeOrder::Shuffled(1), EdgeOrder::Shuffled(2)] {
            let mut j = Jobs::singletons(&g, t.scheduler);
            let mk = zero(&g, t.scheduler, &mut j, Zeroing { order, choices: 5, enough: 0, moves: 100000 });
            println!("zero {} {:.2}", mk/1000, cpu() - c);
            best.push((mk, j));
            if u.len() > 10000 && best.len() > 1 { break; }
        }
        best.sort_by_key(|x| x.0);
        if u.len() < 10000 {
        for b in best.iter_mut().take(2) {
            let c = cpu();
            let mk = search::shorten(&mut t, &mut b.1, 100, 7);
            println!("shorten {} -> {} {:.2}", b.0/1000, mk/1000, cpu() - c);
            b.0 = mk;
        }}
        best.sort_by_key(|x| x.0);
        let mk = best[0].0;
        for f in [1.0, 1.15, 2.0] {
            let mut k = best[0].1.clone();
            let d = (mk as f64 * f) as u64;
            let c = cpu(); let s0 = t.steps.0;
            search::merge_all(&mut t, &mut k, d, 0.0, 4);
            println!("  f {f} jobs {} total {} {:.2}s {}M steps", k.count(), k.total()/1000, cpu() - c, (s0-t.steps.0)/1000000);
            if u.len() < 10000 {
            for r in 0..3 {
                let c = cpu();
                search::refill(&mut t, &mut k, d, 0.0, 200, r * 1000);
                println!("     refill jobs {} total {} {:.2}s", k.count(), k.total()/1000, cpu() - c);
            }}
            let part = emit(&p, &u, &k);
            let sim = simulate(&p, &part, &m);
            println!("   f {f} jobs {} makespan {} total {}", part.jobs.len(), sim.makespan/1000, sim.job_time/1000);
        }
        }
    }
}
