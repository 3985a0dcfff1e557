import Checkpoints
import Foundation
import Tensors
import _TestSupport

// Rows in which numbers are not finite, or ranks are not alike.

extension Row {
  static let ranks = [
    Row(
      60, "NaN or Inf in the gradient of one rank", needs: [.mpirun],
      .trials(short: 2, long: 16) { try notFinite($0) }),
    Row(
      61, "the run diverges", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let step = 5 + trial.random.next(below: 40)
        trial.note("learning rate times 1e30 from step \(step) on")
        let job = try trial.makeJob()
        let result = try job.run(failpoint: "step.learning_rate@\(step)+:value=1e30")
        try trial.judge(job, result, Expectation(codes: [76], says: ["step", "not finite"]))
        try requireFiniteCheckpoints(job)
        // Weights of before the fault: what it left is of a run with another rate.
        let sound = job.checkpoints.filter { $0 < step }
        for later in job.checkpoints where later >= step {
          try remove("\(job.output)/checkpoints/step-\(String(format: "%09d", later))")
        }
        if !sound.isEmpty { try trial.requireContinuation(job) }
      }),
    Row(
      62, "a bit of one rank's weights or gradients flips", needs: [.mpirun],
      .trials(short: 2, long: 100) { try flipBit($0) }),
    Row(
      63, "a rank has another configuration, binary, data or classes", needs: [.mpirun],
      .trials(short: 1, long: 12) { try unlike($0) }),
    Row(
      64, "a rank has another OpenBLAS kernel or number of threads", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let job = try trial.makeJob()
        let rank = 1 + trial.number % 3
        if trial.number % 2 == 0 {
          trial.note("OPENBLAS_CORETYPE on rank \(rank)")
          let result = try job.run(
            wrapper: onRank(rank, "export OPENBLAS_CORETYPE=Nehalem; exec \"$0\" \"$@\""))
          try trial.judge(
            job, result, Expectation(codes: [78], says: ["rank \(rank)", "OpenBLAS kernel"]))
          try trial.requireContinuation(job)
        } else {
          trial.note("OPENBLAS_NUM_THREADS on rank \(rank)")
          let result = try job.run(
            wrapper: onRank(rank, "export OPENBLAS_NUM_THREADS=3; exec \"$0\" \"$@\""))
          try trial.judge(job, result, .done)
          try require(try job.hash() == trial.campaign.hash, "other bits")
        }
      }),
    Row(
      65, "a rank sends a message of another size", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let job = try trial.makeJob()
        let rank = trial.number % CampaignJob.ranks
        let occurrence = 1 + trial.random.next(below: 40)
        trial.note("rank \(rank), bucket \(occurrence)")
        let result = try job.run(
          failpoint: "step.bucket_size@\(occurrence)#\(rank):value=8",
          ["--set", "communication.check_order=true"])
        try trial.judge(job, result, Expectation(codes: [70], says: ["rank \(rank)"]))
        try trial.requireContinuation(job)
      }),
  ]

  /// A shell line for one rank; the others become the program.
  static func onRank(_ rank: Int, _ line: String) -> [String] {
    ["sh", "-c", "[ \"$OMPI_COMM_WORLD_RANK\" = \(rank) ] || exec \"$0\" \"$@\"; \(line)"]
  }

  private static func requireFiniteCheckpoints(_ job: CampaignJob) throws {
    for step in job.checkpoints {
      for file in ["model", "optimizer"] {
        let path = job.store.directory + "/step-\(String(format: "%09d", step))/\(file).safetensors"
        for (name, tensor) in try NamedTensors.readSafetensors(path: path) {
          guard let values = tensor.floats else { continue }
          try require(values.allSatisfy(\.isFinite), "\(path): \(name) is not finite")
        }
      }
    }
  }

  private static func notFinite(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let value = trial.take(["nan", "inf"])
    let rank = trial.random.next(below: CampaignJob.ranks)
    // Passed several times in a step, as its gradients become ready.
    let pass = 1 + trial.random.next(below: 150)
    let goesOn = trial.number / 2 % 2 == 1
    trial.note("\(value) on rank \(rank) in pass \(pass), \(goesOn ? "rollback" : "stop")")
    let fault = "step.own_gradient@\(pass)#\(rank):value=\(value)"
    guard goesOn else {
      let result = try job.run(failpoint: fault)
      let step = (job.log.parts.last?.last ?? 0) + 1
      try trial.judge(
        job, result, Expectation(codes: [76], says: ["step \(step),", "not finite"]))
      try requireFiniteCheckpoints(job)
      return try trial.requireContinuation(job)
    }
    let policy = ["--set", "numerics.policy=rollback"]
    try trial.judge(job, try job.run(failpoint: fault, policy), .done)
    try requireFiniteCheckpoints(job)
    let skipped = try skippedStep(job)
    // On other ranks: a step that is left out is left out alike.
    let other = try trial.makeJob()
    let again = "step.own_gradient@\(pass)#\(rank % 2):value=\(value)"
    try trial.judge(other, try other.run(ranks: 2, failpoint: again, policy), .done)
    try require(try skippedStep(other) == skipped, "other ranks left another step out")
    let (first, second) = (try job.hash(), try other.hash())
    try require(first == second, "other bits after a step was left out")
  }

  /// The one step that was left out, with its samples named.
  private static func skippedStep(_ job: CampaignJob) throws -> Int {
    let skipped = job.log.lines.filter { $0.event == "skipped" }
    let samples = skipped.first?.members["samples"] as? [String] ?? []
    try require(
      skipped.count == 1 && [16, 32].contains(samples.count),
      "skipped: \(skipped.map(\.step)), \(samples.count) samples")
    return skipped[0].step
  }

  private static func flipBit(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let rank = trial.random.next(below: CampaignJob.ranks)
    let step = 1 + trial.random.next(below: 50)
    let name = trial.take(["step.weight_bit", "step.gradient_bit"])
    // Of the first thousand values: all of them are some tensor's.
    let bit = trial.random.next(below: 32_000)
    trial.note("\(name) \(bit) of rank \(rank) after step \(step)")
    let result = try job.run(failpoint: "\(name)@\(step)#\(rank):value=\(bit)")
    if result.status == 0, name == "step.gradient_bit" {
      // The lowest bits of a gradient may be rounded away where it is added to the velocity: then no
      // rank holds anything else, and the run is the undisturbed one.
      try trial.judge(job, result, .done)
      try require(try job.hash() == trial.campaign.hash, "other bits")
      trial.campaign.figures.tally("flipped bits rounded away", of: 62)
      return
    }
    // A flipped exponent may make it a number that is not finite; then that is what is found.
    let isCaught = result.stderr.contains("not finite")
    try trial.judge(
      job, result,
      Expectation(codes: [76], says: isCaught ? [] : ["rank \(rank) is not in the state"]))
    try require(
      job.checkpoints.allSatisfy { $0 < step }, "saved after it: \(job.checkpoints), step \(step)")
    try trial.requireContinuation(job, ranks: trial.draw([1, 2, 4, 8]))
    trial.campaign.figures.tally("flipped bits found", of: 62)
  }

  private static func unlike(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let rank = 1 + trial.number / 4 % 3
    let wrapper: [String]
    var says = ["rank \(rank)"]
    var more: [String] = []
    switch trial.number % 4 {
    case 0:
      trial.note("another seed")
      wrapper = onRank(rank, "exec \"$0\" \"$@\" --set training.seed=7")
      says.append("training.seed")
    case 1:
      trial.note("another binary")
      wrapper = onRank(rank, "cp \"$0\" repvgg; echo >> repvgg; exec ./repvgg \"$@\"")
      says.append("the program")
    case 2:
      trial.note("other data")
      more = ["--set", "data.directory=data"]
      try FileManager.default.copyItem(
        atPath: trial.campaign.dataDirectory, toPath: job.scratch.path("data"))
      try FileManager.default.createDirectory(
        atPath: job.scratch.path("there"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: trial.campaign.dataDirectory, toPath: job.scratch.path("there/data"))
      try flip(80_000, of: job.scratch.path("there/data/train-images-idx3-ubyte"))
      wrapper = onRank(rank, "cp tiny.yaml there; cd there; exec \"$0\" \"$@\"")
      says.append("the data")
    default:
      trial.note("another learning rate in its file")
      wrapper = onRank(
        rank,
        "mkdir there; sed 's/rate: 0.1/rate: 0.2/' tiny.yaml > there/tiny.yaml; cd there; exec \"$0\" \"$@\""
      )
      says.append("schedule.learning_rate")
    }
    trial.note("on rank \(rank)")
    let result = try job.run(wrapper: wrapper, more)
    try trial.judge(job, result, Expectation(codes: [78], says: says))
    try trial.requireContinuation(job)
  }
}
