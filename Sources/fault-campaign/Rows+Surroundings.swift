import Foundation
import _TestSupport

// Rows about limits, streams, clocks and whatever else a process finds around itself.

extension Row {
  static let surroundings = [
    Row(
      19, "one rank has little memory", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let rank = trial.number % CampaignJob.ranks
        let megabytes = [250, 150, 400, 600][trial.number]
        trial.note("\(megabytes) MB of address space on rank \(rank)")
        let job = try trial.makeJob()
        // What the plan does not see, OpenBLAS asks for again without end: the watchdog ends the job.
        let result = try job.run(
          wrapper: onRank(rank, "exec prlimit --as=\(megabytes)000000 \"$0\" \"$@\""),
          ["--set", "watchdog.warn_seconds=4", "--set", "watchdog.abort_seconds=10"])
        try require(!result.timedOut && result.status != 110, "hung: \(result.stderr)")
        try require(
          result.status == 0 || !result.stderr.isEmpty, "exit \(result.status) without a word")
        if result.status == 78 {
          // Before MPI each rank names itself and its host. Behind it rank 0 speaks for all, and does
          // not name itself.
          let place = rank == 0 ? "repvgg: " : "rank \(rank): "
          let named = result.complaints.filter { $0.contains("the address space is limited") }
          try require(
            named.contains { $0.contains(place) || $0.contains("rank \(rank) on ") },
            "not named: \(result.stderr)")
        }
        if result.status == 70 {
          try require(
            result.stderr.contains("waits for rank \(rank)"), "not named: \(result.stderr)")
        }
        try trial.requireNoProcess(job)
        try trial.requireContinuation(job)
      }),
    Row(
      20, "few file descriptors, few threads", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let limit = [12, 16, 24, 32][trial.number]
        trial.note("\(limit) descriptors")
        let job = try trial.makeJob()
        let result = try job.runAlone(wrapper: ["prlimit", "--nofile=\(limit)"])
        try trial.judge(job, result, Expectation(codes: [0, 66, 70, 73, 74]))
        try require(
          result.status == 0 || result.complaints.contains { $0.contains("Too many open files") },
          "says not why: \(result.stderr)")
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      21, "standard streams are closed",
      .trials(short: 2, long: 6) { trial in
        let line = trial.take([
          "\"$0\" \"$@\" | head -n 1", "exec \"$0\" \"$@\" <&-", "exec \"$0\" \"$@\" >&-",
          "exec \"$0\" \"$@\" 2>&-", "exec \"$0\" \"$@\" <&- >&- 2>&-",
          "\"$0\" \"$@\" 2>&1 | true",
        ])
        trial.note(line)
        let job = try trial.makeJob()
        let result = try job.runShell(line)
        try trial.judge(job, result, Expectation(codes: [0, 74]))
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      66, "the clock is wrong, or jumps", needs: [.faketime],
      .trials(short: 1, long: 4) { trial in
        let time = trial.take(["-1d", "+1d", "2000-01-01 00:00:00", "-1d x50"])
        trial.note(time)
        let job = try trial.campaign.interruptedJob(trial)
        let result = try job.runAlone(wrapper: ["faketime", "-f", time])
        try trial.judge(job, result, .done)
        try require(try job.hash() == trial.campaign.hash, "other bits")
      }),
    Row(
      67, "another locale, time zone, umask, home; no working directory",
      .trials(short: 1, long: 6) { trial in
        let (environment, line): ([String: String], String) = trial.take([
          (["LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"], ""),
          (["TZ": "Pacific/Kiritimati"], ""), ([:], "umask 077;"), (["HOME": ""], ""),
          (["LC_ALL": "tr_TR.UTF-8", "LANG": "xx_YY"], "unset PATH;"),
          (["TMPDIR": "/no-such-place"], ""),
        ])
        trial.note("\(environment) \(line)")
        let job = try trial.makeJob()
        let result = try job.runShell("\(line) exec \"$0\" \"$@\"", environment: environment)
        try trial.judge(job, result, .done)
        try require(try job.hash() == trial.campaign.hash, "other bits")
      }),
    Row(
      68, "without mpirun, and on numbers of ranks that are unusual", needs: [.mpirun],
      .trials(short: 1, long: 5) { trial in
        let job = try trial.makeJob()
        let ranks = [0, 1, 3, 16, 6][trial.number]
        trial.note("\(ranks) ranks")
        if ranks == 16 {
          let result = try job.run(ranks: ranks)
          try trial.judge(job, result, Expectation(codes: [78], says: ["training.shards"]))
          return try trial.requireContinuation(job)
        }
        let result = try ranks == 0 ? job.runAlone() : job.run(ranks: ranks)
        try trial.judge(job, result, .done)
        if ranks < 2 { try require(try job.hash() == trial.campaign.hash, "other bits") }
      }),
    Row(
      69, "/dev/shm is small", needs: [.mpirun, .mount],
      .trials(short: 1, long: 2) { trial in
        let job = try trial.makeJob()
        let size = trial.number == 0 ? "64k" : "1m"
        trial.note("/dev/shm of \(size)")
        let line = "mount -t tmpfs -o size=\(size) none /dev/shm || exit 99; exec \"$0\" \"$@\""
        let result = try job.runUnder(
          ["unshare", "-m", "sh", "-c", line], ranks: CampaignJob.ranks)
        // Open MPI puts its segments elsewhere or fails to start; either must come to an end.
        try require(!result.timedOut && result.status != 99, "exit \(result.status)")
        try trial.requireNoProcess(job)
        try trial.requireContinuation(job)
      }),
  ]
}
