struct Plot: Codable {
    var suite: String
}
