// The countries of the world with their numbers of ISO 3166, from Natural Earth by way of world-atlas.
import type { MultiPolygon, Polygon, Position } from "geojson";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import atlas from "world-atlas/countries-110m.json";

const topology = atlas as unknown as Topology<{ countries: GeometryCollection<{ name: string }> }>;
const countries = feature(topology, topology.objects.countries);

/** The ring in one piece: what lies beyond 180° goes on there and does not jump to the other end of the map. */
function inOnePiece(ring: Position[]): Position[] {
  let shift = 0;
  let before = ring[0]?.[0] ?? 0;
  return ring.map(([longitude = 0, latitude = 0]) => {
    if (longitude - before < -180) shift += 360;
    if (longitude - before > 180) shift -= 360;
    before = longitude;
    return [longitude + shift, latitude];
  });
}

function shape(geometry: Polygon | MultiPolygon): Polygon | MultiPolygon {
  return geometry.type === "Polygon"
    ? { ...geometry, coordinates: geometry.coordinates.map(inOnePiece) }
    : { ...geometry, coordinates: geometry.coordinates.map((polygon) => polygon.map(inOnePiece)) };
}

export const world = {
  type: "FeatureCollection",
  // Without Antarctica, which nobody invests in and which would take a fifth of the map.
  features: countries.features
    .filter(({ id }) => id !== "010")
    .map((country) => ({
      ...country,
      geometry: shape(country.geometry as Polygon | MultiPolygon),
      properties: { id: String(country.id) },
    })),
};
