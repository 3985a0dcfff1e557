import Glibc

/// A network interface of this host with its first IPv4 address.
struct NetworkInterface: Sendable, Equatable, Codable {
  var name: String
  var isUp: Bool
  var isLoopback: Bool
  /// In host order; nil without one.
  var address: UInt32?
  var mask: UInt32
  /// Megabits a second; nil where the driver does not say.
  var speed: Int?

  /// Those of this host, each once, in the system's order.
  static var all: [NetworkInterface] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    var found: [NetworkInterface] = []
    var entry = first
    while let interface = entry?.pointee {
      entry = interface.ifa_next
      let name = String(cString: interface.ifa_name)
      let flags = interface.ifa_flags
      let index =
        found.firstIndex { $0.name == name }
        ?? {
          found.append(
            NetworkInterface(
              name: name, isUp: flags & UInt32(IFF_UP) != 0,
              isLoopback: flags & UInt32(IFF_LOOPBACK) != 0, address: nil, mask: 0,
              speed: speed(of: name)))
          return found.count - 1
        }()
      guard found[index].address == nil, let address = ipv4(interface.ifa_addr) else { continue }
      found[index].address = address
      found[index].mask = ipv4(interface.ifa_netmask) ?? .max
    }
    return found
  }

  private static func ipv4(_ address: UnsafeMutablePointer<sockaddr>?) -> UInt32? {
    guard let address, address.pointee.sa_family == sa_family_t(AF_INET) else { return nil }
    return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
      UInt32(bigEndian: $0.pointee.sin_addr.s_addr)
    }
  }

  private static func speed(of name: String) -> Int? {
    guard !name.contains("/"), let file = fopen("/sys/class/net/\(name)/speed", "re") else {
      return nil
    }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 32)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 > 0x20 }.map(UInt8.init), as: UTF8.self)
    // -1 or nonsense where nothing is known, as of a virtual one.
    return Int(text).flatMap { (1...10_000_000).contains($0) ? $0 : nil }
  }

  /// Whether another host on the same network can be reached over it.
  var leadsToOthers: Bool { isUp && !isLoopback && address != nil }

  /// Whether both are on one network.
  func shares(networkWith other: NetworkInterface) -> Bool {
    guard let address, let theirs = other.address, mask == other.mask else { return false }
    return address & mask == theirs & mask
  }

  /// `eth0 10.0.0.7/24 at 25 Gb/s`.
  var text: String {
    var text = name
    if let address {
      let bytes = stride(from: 24, through: 0, by: -8).map { String(address >> UInt32($0) & 0xFF) }
      text += " \(bytes.joined(separator: "."))/\(mask.nonzeroBitCount)"
    }
    guard let speed else { return text }
    return text + (speed % 1000 == 0 ? " at \(speed / 1000) Gb/s" : " at \(speed) Mb/s")
  }
}
