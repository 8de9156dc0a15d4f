// Runs a server that has no option for its address on loopback only: node loopback.cjs SERVER.js ARGUMENTS.

const net = require('node:net');
const { pathToFileURL } = require('node:url');

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function onLoopback(port, ...rest) {
    return typeof port === 'object' ? listen.call(this, port, ...rest) : listen.call(this, port, '127.0.0.1', ...rest);
};

process.argv.splice(1, 1);
import(pathToFileURL(process.argv[1]));
