// The countries of the world with their numbers of ISO 3166, from Natural Earth by way of world-atlas.
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import atlas from "world-atlas/countries-110m.json";

const topology = atlas as unknown as Topology<{ countries: GeometryCollection<{ name: string }> }>;
const countries = feature(topology, topology.objects.countries);

export const world = {
  type: "FeatureCollection",
  // Without Antarctica, which nobody invests in and which would take a fifth of the map.
  features: countries.features
    .filter(({ id }) => id !== "010")
    .map((country) => ({ ...country, properties: { id: String(country.id) } })),
};
