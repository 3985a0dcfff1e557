import Collectives
import Glibc
import MPICollectives
import _CollectivesConformance

// Runs under mpirun: the conformance suite of the collectives over MPI, or with the argument
// `probe` the proof that sums over these ranks have the bits of the balanced tree.

let arguments = CommandLine.arguments.dropFirst()

func complain(_ message: String) {
  let line = "mpi-check: \(message)\n"
  _ = write(STDERR_FILENO, line, line.utf8.count)
}

/// What the probe sends: statistics, gradients of every size class, in every way that a run does.
let probes =
  [1, 2, 97, 1_000, 7_680].map { BitInvariance.Probe(kind: .blockingDouble, count: $0) }
  + [1, 10, 1_000, 100_003].map { BitInvariance.Probe(kind: .blockingFloat, count: $0) }
  + [1, 1_000, 16_384, 1_048_576, 5_000_003].map {
    BitInvariance.Probe(kind: .startedFloat, count: $0)
  }

/// The closing line and the exit code, the same on every rank.
func check(_ communicator: any Communicator, library: String) throws -> (String, Int32) {
  let ranks = communicator.size == 1 ? "1 rank" : "\(communicator.size) ranks"
  let place = "\(ranks) over \(library)"
  var count = 0
  for algorithm in ReductionAlgorithm.allCases {
    communicator.use(algorithm)
    guard arguments.first == "probe" else {
      count += try runConformance(communicator).count
      continue
    }
    count += probes.count
    guard try BitInvariance.prove(probes, over: communicator, seed: 1) else {
      return ("\(algorithm) sums of \(place) have not the bits of the balanced tree", 76)
    }
  }
  return arguments.first == "probe"
    ? ("all \(count) probes of \(place) have the bits of the balanced tree", 0)
    : ("\(count) checks passed on \(place)", 0)
}

guard arguments.isEmpty || Array(arguments) == ["probe"] else {
  complain("unknown arguments; usage: mpirun -np N mpi-check [probe]")
  exit(64)
}

var environment: MPIEnvironment?
do {
  let started = try MPIEnvironment()
  environment = started
  let (line, code) = try check(started.communicator, library: started.libraryVersion)
  if started.communicator.rank == 0 { print("mpi-check: \(line)") }
  try started.finalize()
  exit(code)
} catch {
  complain("\(error)")
  // The suite fails on all ranks together; an error of MPI may be on this one alone.
  guard error is ConformanceFailure, let environment else { MPIEnvironment.abort(code: 70) }
  try? environment.finalize()
  exit(70)
}
