# A Kvorum client in Ruby, written from protocol/README.md alone. Needs the gem msgpack. Usage: minimal.rb HOST PORT

require "msgpack"
require "securerandom"
require "socket"

LATEST, NONE, PREFIX = [1], [2], "basket/#{SecureRandom.hex(4)}/".b

class Client
  def initialize(host, port)
    @socket, @last_id = TCPSocket.new(host, port), -1
    kind, *fields = call(1, 1, 1) # hello: we speak versions 1 to 1; its id is 0
    kind == 2 or abort "refused: #{fields}"
  end

  def call(tag, *fields)
    body = [tag, @last_id += 1, *fields].to_msgpack # a string is bytes when it is binary (.b), else text
    @socket.write([body.bytesize].pack("N"), body)
    kind, _request_id, *fields = MessagePack.unpack(@socket.read(@socket.read(4).unpack1("N")))
    [kind, *fields]
  end

  def data(tag, *fields)
    kind, *fields = call(tag, "default".b, *fields, [SecureRandom.bytes(16)]) # options: a fresh operation id
    kind == 1 ? raise("error #{fields[0]}") : fields
  end

  def put(key, value, replaces = LATEST) = data(10, key, value.b, replaces)
  def delete(key, replaces = LATEST) = data(12, key, replaces)

  def get(key) # all values, and what a write says that replaces exactly them
    values, context, = data(11, key)
    [values.map { |_dot, value| value }, context ? [3, context] : NONE]
  end

  def keys(prefix, page_size, after = nil)
    items, after, = data(13, prefix, after, page_size, false)
    items.map(&:first) + (after ? keys(prefix, page_size, after) : [])
  end
end

def expect(wanted, attempts = 1) # a listing may lag behind the writes for a moment
  (attempts -= 1) > 0 ? sleep(0.1) : abort("not #{wanted}") until yield == wanted
end

client, key = Client.new(*ARGV), PREFIX + "0"
5.times { |i| client.put(PREFIX + i.to_s, "milk", client.get(PREFIX + i.to_s)[1]) } # new keys: nothing to replace
client.put(key, "oat milk", client.get(key)[1])
context = client.get(key)[1]
["bread", "eggs"].each { |more| client.put(key, "oat milk, " + more, context) } # neither has seen the other: siblings
siblings, context = client.get(key)
expect(["oat milk, bread", "oat milk, eggs"]) { siblings.sort }
client.put(key, siblings.sort.flat_map { |list| list.split(", ") }.uniq.join(", "), context) # replaces both
expect(["oat milk, bread, eggs"]) { client.get(key)[0] }
expect((0..4).map { |i| PREFIX + i.to_s }, 100) { client.keys(PREFIX, 2) }
client.delete(key, client.get(key)[1])
expect([]) { client.get(key)[0] }
expect((1..4).map { |i| PREFIX + i.to_s }, 100) { client.keys(PREFIX, 2) }
puts "put, get, two siblings, delete, pages of a list: as the specification says"
