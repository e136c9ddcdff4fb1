import JSON

extension FuzzTarget {
    /// JSON texts of other programs; a value takes 16 bytes, and arrays grow by doubling.
    static let json = FuzzTarget(name: "json", allocationFactor: 64) { bytes in
        let text = Array(bytes)
        checkBase64(text)
        let limits = JSONLimits(bytesMax: 4096, depthMax: 8, membersMax: 16, valuesMax: 1024)
        guard let document = attempt({ () throws(JSONError) in try JSONDocument(text, limits: limits) }) else { return }
        var values = 0
        walk(document.root, depth: 0, &values)
        require(values <= limits.valuesMax, "\(values) values")
    }
}

private func walk(_ value: JSONValue, depth: Int, _ values: inout Int) {
    require(depth <= 8, "\(depth) levels")
    values += 1
    if let text = value.text { require(Array(text.utf8) == value.utf8.map(Array.init), text) }
    if let number = value.int64, let text = value.text { require(String(number) == text, "\(text) became \(number)") }
    if let bytes = value.base64 { checkBase64(bytes) }
    for element in value.elements { walk(element, depth: depth + 1, &values) }
    for (name, member) in value.members {
        // A name is in an object once.
        require(value[name]?.text == member.text && value[name]?.int64 == member.int64, name)
        walk(member, depth: depth + 1, &values)
    }
}

/// What was written is read; what can be read is written so.
private func checkBase64(_ bytes: [UInt8]) {
    var written: [UInt8] = []
    Base64.append(bytes, to: &written)
    require(Base64.decoded(written[...]) == bytes, "\(bytes)")
    guard let decoded = Base64.decoded(bytes[...]) else { return }
    var again: [UInt8] = []
    Base64.append(decoded, to: &again)
    require(again == bytes, "\(decoded)")
}
