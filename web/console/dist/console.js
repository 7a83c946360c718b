const config = await (await fetch("config.json")).json();
document.querySelector("#console").append(` This is roomcast ${config.version} (${config.mode}).`);
